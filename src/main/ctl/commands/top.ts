import { wholeNumber, type BrokerCommand, type Run } from '../command.js'
import { Refused } from '../admin-link.js'

interface Wanted {
  readonly interval: number
  readonly count?: number
  readonly json?: boolean
}

export const top: BrokerCommand = {
  name: 'top',
  describes: 'show clients, drivers and threads live, on the whole screen',
  define: command =>
    void command
      .option('--interval <seconds>', 'between two looks', wholeNumber, 2)
      .option('--count <n>', 'end after so many looks', wholeNumber),
  run: async run => {
    const { interval, count = Infinity } = run.options as unknown as Wanted
    const ms = 1000 * Math.max(1, interval)
    if (run.json) return inLines(run, ms, count)
    if (!process.stdin.isTTY || !process.stdout.isTTY) throw new Refused('top needs a terminal, or --json')
    // What draws is loaded by nobody else.
    const { liveView } = await import('../top/live-view.js')
    await liveView(run.link, ms, count)
    return 0
  }
}

async function inLines({ link, showLine }: Run, ms: number, count: number): Promise<number> {
  const { interval, ratesOf, takeSample } = await import('../top/sample.js')
  let before: Awaited<ReturnType<typeof takeSample>> | undefined
  for (let round = 1; ; round++) {
    const sample = await takeSample(link)
    const { status, drivers, clients } = sample
    showLine({ status, rates: ratesOf(sample, before), drivers, clients }, () => '')
    if (round >= count) return 0
    before = sample
    await interval(ms, new AbortController().signal)
  }
}
