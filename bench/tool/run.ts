import { setInterval } from 'node:timers'
import { closedLoop, fixedRate } from '../load/calling.js'
import type { Connection } from '../load/connection.js'
import { openClients } from '../load/opening.js'
import type { Call, Outcome, Target } from '../load/orders.js'
import { Tally } from '../load/outcome.js'
import { readMachineCpu } from '../system/cpu.js'

/** What is asked of a server. */
export interface Plan {
  target: Target
  call: Call
  clients: number
  /** Clients that connect at the same time. */
  parallel: number
  /** Calls a second of each client; undefined: each calls again as soon as it has its reply. */
  rate: number | undefined
  seconds: number
}

export interface Result {
  opening: Outcome
  /** Undefined where no client was let in. */
  calling: Outcome | undefined
  /** What makes the figures doubtful. */
  warnings: string[]
}

const SHOW_MS = 1000
const SATURATED = 0.9
const STOLEN = 0.1
/** Less of what was asked for than this was not asked of the server. */
const ON_TIME = 0.95
const EARLY = 'it was ended early: these are the figures until then'

/** Carries a plan out in this process; `show` is told every second how far it is. What there is `whenEnded` is the result then. */
export async function run(plan: Plan, show: (text: string) => void, whenEnded: Promise<void>): Promise<Result> {
  const { target, call, clients, parallel, rate, seconds } = plan
  const crowd: Connection[] = []
  const open = new Tally()
  let ended = false
  const end = whenEnded.then(() => void (ended = true))
  const opening = await watched(
    () => show(`${open.count} of ${clients} clients are in, ${open.failures} failures`),
    () => Promise.race([openClients(target, clients, parallel, crowd, open), end.then(() => open.finish())])
  )
  const callers = crowd.filter(client => !client.closed)
  if (callers.length === 0 || ended) return { opening, calling: undefined, warnings: ended ? [EARLY] : [] }
  const tally = new Tally()
  const look = (): void => show(`${tally.count} calls of ${callers.length} clients, ${tally.failures} failures`)
  const before = { own: process.cpuUsage(), machine: readMachineCpu() }
  const ms = seconds * 1000
  const calls = (): Promise<Outcome> =>
    rate === undefined ? closedLoop(callers, call, ms, tally) : fixedRate(callers, call, ms, rate * callers.length, tally)
  const calling = await watched(look, () => Promise.race([calls(), end.then(() => tally.finish())]))
  const own = process.cpuUsage(before.own)
  const machine = readMachineCpu()
  for (const client of callers) client.close()
  const busy = (own.user + own.system) / 1e6
  const total = machine.total - before.machine.total
  const stolen = machine.stolen - before.machine.stolen
  const asked = rate && rate * callers.length
  return { opening, calling, warnings: [...ended ? [EARLY] : [], ...warningsOf(asked, calling, { busy, total, stolen })] }
}

async function watched<T>(look: () => void, work: () => Promise<T>): Promise<T> {
  const timer = setInterval(look, SHOW_MS)
  try {
    return await work()
  } finally {
    clearInterval(timer)
  }
}

/** `asked`: calls a second of all. */
function warningsOf(
  asked: number | undefined, { count, ms }: Outcome, cpu: { busy: number; total: number; stolen: number }
): string[] {
  const warnings: string[] = []
  if (cpu.busy > SATURATED * (ms / 1000)) {
    warnings.push('this program was busy all the time: calls a second and latency are its own limit')
  }
  if (asked !== undefined && count / (ms / 1000) < ON_TIME * asked) {
    warnings.push('the server did not keep up with the rate: the longer this runs, the higher are latencies')
  }
  if (cpu.stolen > STOLEN * cpu.total) warnings.push('the hypervisor gave over 10 % of this machine to others')
  return warnings
}
