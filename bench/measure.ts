import type { Bench } from './bench.js'
import { Latencies } from './load/latencies.js'
import type { Outcome } from './load/orders.js'
import type { Peer } from './peers/peers.js'
import { describePoint, type Figure, type Point } from './results/samples.js'
import { cpuSeconds, readCpu, readMachineCpu } from './system/cpu.js'

/** CPU seconds of the three parties during a measurement. */
export interface Split {
  load: number
  proxy: number
  driver: number
}

export interface Measured {
  outcome: Outcome
  cpu: Split
  /** Milliseconds. */
  wall: number
}

const SATURATED = 0.9
const FOREIGN = 0.1
const STOLEN = 0.02
/** The kernel counts the whole machine in ticks of 10 ms: nothing is concluded from shorter times. */
const LEAST_MS = 250

/** Does `work` and says what CPU it cost whom; warns of whatever makes the figures doubtful. */
export async function measure(
  bench: Bench,
  peer: Peer,
  loadPid: number,
  work: () => Promise<Outcome>
): Promise<Measured> {
  const pids = [loadPid, peer.pid, ...peer.driver.pids]
  const read = () => pids.map(pid => (pid === undefined ? undefined : readCpu(pid)))
  const machineBefore = readMachineCpu()
  const ownBefore = process.cpuUsage()
  const before = read()
  const begun = performance.now()
  const outcome = await work()
  const wall = performance.now() - begun
  const after = read()
  const own = process.cpuUsage(ownBefore)
  const machineAfter = readMachineCpu()
  const [load = 0, proxy = 0, ...drivers] = after.map((reading, i) =>
    reading === undefined ? 0 : cpuSeconds(before[i]!, reading)
  )
  const driverCpu = drivers.reduce((sum, seconds) => sum + seconds, 0)
  if (outcome.failures > 0) bench.warn(`${peer.name}: ${outcome.failures} failures, first: ${outcome.firstFailure}`)
  if (wall >= LEAST_MS) {
    if (load > (SATURATED * wall) / 1000) {
      bench.warn(`${peer.name}: the load generator was busy all the time; calls a second and latency are its own limit`)
    }
    const ours = load + proxy + driverCpu + (own.user + own.system) / 1e6
    const total = machineAfter.total - machineBefore.total
    const foreign = machineAfter.busy - machineBefore.busy - ours
    if (foreign > FOREIGN * total) bench.warn('other programs used over 10 % of the machine; latency and rates suffer')
    if (machineAfter.stolen - machineBefore.stolen > STOLEN * total) {
      bench.warn('the hypervisor gave over 2 % of the machine to others')
    }
  }
  return { outcome, cpu: { load, proxy, driver: driverCpu }, wall }
}

const CPU: Figure = { figure: 'CPU of the proxy', unit: 'µs', better: 'lower' }
const LOAD_CPU: Figure = { figure: 'CPU of the load', unit: 'µs', better: 'lower', context: true }
const DRIVER_CPU: Figure = { figure: 'CPU of the driver', unit: 'µs', better: 'lower', context: true }
const RATE: Figure = { figure: 'rate', unit: '1/s', better: 'higher' }
const P50: Figure = { figure: 'latency p50', unit: 'µs', better: 'lower' }
const P99: Figure = { figure: 'latency p99', unit: 'µs', better: 'lower' }

/** What is recorded of a measurement, and what its operations are. */
export interface Recorded {
  cpu?: boolean
  rate?: boolean
  latency?: boolean
  /** Costs are by these, and the rate is of these, instead of by and of calls. */
  costBy?: Quantity
  rateOf?: Quantity
}

export interface Quantity {
  name: string
  in: (outcome: Outcome) => number
}

/** Records CPU per operation, rate and latency of a measurement; all of them unless told otherwise. */
export function record(
  bench: Bench,
  peer: Peer,
  point: Point,
  round: number,
  measured: Measured,
  { cpu = true, rate = true, latency = true, costBy, rateOf }: Recorded = {}
): void {
  const { outcome, cpu: split } = measured
  if (outcome.count === 0) return bench.warn(`${peer.name}: nothing was done at ${describePoint(point)}`)
  const costUnit = costBy === undefined ? 'µs' : `µs/${costBy.name}`
  const costed = costBy?.in(outcome) ?? outcome.count
  const put = (figure: Figure, value: number): void => bench.record(peer.name, point, round, figure, value)
  const cost = (figure: Figure, seconds: number): void => put({ ...figure, unit: costUnit }, (seconds / costed) * 1e6)
  if (cpu) {
    if (peer.pid !== undefined) cost(CPU, split.proxy)
    cost(LOAD_CPU, split.load)
    cost(DRIVER_CPU, split.driver)
  }
  if (rate) {
    const unit = rateOf === undefined ? '1/s' : `${rateOf.name}/s`
    put({ ...RATE, unit }, (rateOf?.in(outcome) ?? outcome.count) / (outcome.ms / 1000))
  }
  if (!latency) return
  const latencies = new Latencies(outcome.latencies)
  put(P50, latencies.percentile(50))
  put(P99, latencies.percentile(99))
  bench.distribution(peer.name, point, latencies)
}

export const MIB: Quantity = { name: 'MiB', in: ({ bytes }) => bytes / 2 ** 20 }
