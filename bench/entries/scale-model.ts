import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.js'
import { measure, record } from '../measure.js'
import type { Peer } from '../peers/peers.js'
import type { Figure, Point } from '../results/samples.js'
import { cpuSeconds, readCpu } from '../system/cpu.js'
import { openDescriptors } from '../system/descriptors.js'
import { residentBytes, slope } from '../system/memory.js'
import { GET_LIB_VERSION } from './calls.js'
import type { Entry } from './entry.js'
import { idleSteps } from './idle-steps.js'

/** Of each client, a second. */
const CALLS = 1
/** Handshakes take their time. */
const MOST_TLS = 4000

/** What a broker takes, as docs/scale.md has it. */
const MODEL = {
  /** Bytes, of so many clients over plain sockets. */
  memory: (clients: number): number => 105e6 + 2700 * clients,
  descriptors: (clients: number): number => 55 + clients,
  /** CPU seconds a second, of so many calls a second. */
  cpu: (calls: number): number => 0.025 + 31e-6 * calls
}

const times = (figure: string): Figure => ({ figure, unit: '× the model', better: 'lower' })
const MEMORY = times('memory')
const DESCRIPTORS = times('descriptors')
const CPU = times('CPU of calls')
const IDLE_CPU: Figure = { figure: 'CPU of idle clients', unit: 'µs/s', better: 'lower' }

const TLS_MEMORY: Figure = { figure: 'memory of a client over TLS', unit: 'kB', better: 'lower' }

/** Crowds of three sizes that are idle, and then poll; and what clients over TLS add. */
export const scaleModel: Entry = {
  name: 'scale-model',
  claim: 'What a broker needs grows with its clients and their calls as the model of docs/scale.md says.',
  goals: [],
  async run(bench) {
    await plain(bench)
    await overTls(bench)
  }
}

const plain = (bench: Bench): Promise<void> =>
  bench.onStage({ driver: 'answering', sharing: true, peers: ['virtbroker'] }, async stage => {
    const [peer] = stage.peers as [Peer]
    const load = stage.load()
    await idleSteps(bench, peer, load, Infinity, bench.scale.modelClients, [peer.pid!], async clients => {
      await idle(bench, peer, clients)
      const callsPerSecond = CALLS * clients
      const ms = bench.scale.warmMs + bench.scale.sliceMs
      const work = () => load.order({ do: 'fixed-rate', call: GET_LIB_VERSION, ms, callsPerSecond })
      const at: Point = { clients, 'calls/s': callsPerSecond }
      await work()
      const measured = await measure(bench, peer, load.pid, work)
      record(bench, peer, at, 0, measured, { rate: false })
      bench.record('virtbroker', at, 0, CPU, measured.cpu.proxy / (measured.wall / 1000) / MODEL.cpu(callsPerSecond))
    })
  })

const overTls = (bench: Bench): Promise<void> =>
  bench.onStage({ driver: 'answering', sharing: true, peers: ['virtbroker'], tls: { bothSides: true, bits: 2048 } }, async stage => {
    const [peer] = stage.peers as [Peer]
    const points: { x: number; y: number }[] = []
    await idleSteps(bench, peer, stage.load(), MOST_TLS, bench.scale.modelClients, [peer.pid!], clients => {
      points.push({ x: clients, y: residentBytes(peer.pid!) })
    })
    bench.record('virtbroker', { over: 'TLS' }, 0, TLS_MEMORY, slope(points) / 1000)
  })

async function idle(bench: Bench, { pid }: Peer, clients: number): Promise<void> {
  const put = (figure: Figure, value: number): void => bench.record('virtbroker', { clients }, 0, figure, value)
  put(MEMORY, residentBytes(pid!) / MODEL.memory(clients))
  put(DESCRIPTORS, openDescriptors(pid!) / MODEL.descriptors(clients))
  const before = readCpu(pid!)
  await sleep(bench.scale.warmMs)
  put(IDLE_CPU, (cpuSeconds(before, readCpu(pid!)) * 1e9) / bench.scale.warmMs)
}
