import { open, writeFile } from 'node:fs/promises'
import { Command, InvalidArgumentError } from 'commander'
import { Latencies } from '../load/latencies.js'
import { latencyPlot } from '../report/plots.js'
import { mostDescriptors } from '../system/descriptors.js'
import { Progress } from '../system/progress.js'
import { callOf } from './procedure.js'
import { jsonOf, pageOf, textOf } from './report.js'
import { run, type Plan, type Result } from './run.js'
import { targetOf } from './target.js'

interface Options {
  clients: number
  parallel: number
  rate?: number
  duration: number
  procedure: string
  arguments: string
  allowChanges?: true
  json?: true
  page?: string
}

const EXIT = { failures: 1, usage: 2 }
const MOST_CLIENTS = 15_000
/** What this process has open beside its clients, and a few to spare. */
const OWN_DESCRIPTORS = 64

function above(least: number, most: number, value: string): number {
  const number = Number(value)
  if (value.trim() === '' || !(number > least && number <= most)) throw new InvalidArgumentError(`more than ${least}, at most ${most}`)
  return number
}

const whole = (most: number) => (value: string): number => {
  const number = above(0, most, value)
  if (!Number.isInteger(number)) throw new InvalidArgumentError('a whole number')
  return number
}

function command(): Command {
  return new Command('load')
    .description(
      'Many clients that call a libvirt daemon, or what stands before it. Only for servers that are yours: ' +
      'this is as much load as it can make, unless --rate says how much.'
    )
    .argument('<uri>', 'where to: qemu+tcp://127.0.0.1/system, qemu+tls://…, qemu:///system, …?socket=PATH')
    .option('--clients <n>', `at most ${MOST_CLIENTS}`, whole(MOST_CLIENTS), 1)
    .option('--parallel <n>', 'clients that connect at the same time', whole(MOST_CLIENTS), 64)
    .option('--rate <n>', 'calls a second of each client; without it, as fast as they are answered', (text: string) => above(0, 1e6, text))
    .option('--duration <s>', 'seconds of calls', (text: string) => above(0, 86_400, text), 10)
    .option('--procedure <name>', 'of the remote program, one that only reads', 'CONNECT_GET_LIB_VERSION')
    .option('--arguments <hex>', 'its arguments, encoded as XDR', '')
    .option('--allow-changes', 'lets --procedure be one that may change something')
    .option('--json', 'prints figures as JSON instead of a table; times in ms')
    .option('--page <file>', 'writes a page with a table and a plot of the latencies')
    .exitOverride(error => process.exit(error.exitCode === 0 ? 0 : EXIT.usage))
}

async function planOf(uri: string, options: Options): Promise<Plan> {
  const { clients, parallel, rate, duration: seconds, procedure, arguments: args, allowChanges = false, page } = options
  const most = mostDescriptors() - OWN_DESCRIPTORS
  if (clients > most) throw new Error(`descriptors for no more than ${most} clients: see ulimit -n`)
  // That it cannot be written must not come out at the end.
  if (page !== undefined) await (await open(page, 'a')).close()
  return { target: await targetOf(uri), call: callOf(procedure, args, allowChanges), clients, parallel, rate, seconds }
}

function describe(uri: string, { clients, rate, duration, procedure }: Options): string {
  const pace = rate === undefined ? 'as fast as they are answered' : `${rate} calls a second each`
  return `${procedure} by ${clients} clients, ${pace}, for ${duration} s, at ${uri}`
}

async function report(what: string, plan: Plan, result: Result, { json, page }: Options): Promise<void> {
  process.stdout.write(json ? jsonOf(what, plan, result) : textOf(result))
  if (page === undefined) return
  const { calling } = result
  const plots = calling === undefined ? [] : [await latencyPlot('Latency of calls', new Latencies(calling.latencies))]
  await writeFile(page, pageOf(what, result, plots))
}

async function main(): Promise<number> {
  const parser = command().parse()
  const [uri = ''] = parser.args
  const options = parser.opts<Options>()
  let plan: Plan
  try {
    plan = await planOf(uri, options)
  } catch (error) {
    process.stderr.write(`load: ${(error as Error).message}\n`)
    return EXIT.usage
  }
  const progress = new Progress(process.stderr)
  const what = describe(uri, options)
  progress.note(what)
  const interrupted = new Promise<void>(resolve => process.once('SIGINT', resolve))
  const result = await run(plan, text => progress.show(text), interrupted)
  progress.clear()
  await report(what, plan, result, options)
  return result.opening.failures + (result.calling?.failures ?? 1) > 0 ? EXIT.failures : 0
}

// The poller of the connections keeps a process alive.
process.exit(await main())
