import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.js'
import type { Figure } from '../results/samples.js'
import { mostDescriptors } from '../system/descriptors.js'
import { residentBytes, slope } from '../system/memory.js'
import { quiet } from '../system/quiet.js'
import { TEST_URI, type Entry } from './entry.js'

const PER_CLIENT: Figure = { figure: 'memory per idle client', unit: 'kB', better: 'lower' }
const RESIDENT: Figure = { figure: 'resident memory', unit: 'MB', better: 'lower' }
/** What a client costs each of them; there must be room for all. */
const DESCRIPTORS_A_CLIENT = { virtbroker: 2, base: 2, haproxy: 2, libvirtd: 3, direct: 1 } as const
const SPARE_DESCRIPTORS = 500
/** Until what the opening left behind is cleared away. */
const SETTLE_MS = 1500

/** Clients connect, open, and then do nothing. */
export const idleMemory: Entry = {
  name: 'idle-memory',
  claim: 'Each further idle client costs no more memory than in virtproxyd.',
  goals: [{ figure: PER_CLIENT.figure, against: 'libvirtd', limit: 1.0 }],
  async run(bench) {
    for (const name of bench.options.peers) {
      // Each in fresh processes: memory that once was used is seldom given back.
      if (name !== 'direct') await crowdOf(bench, name)
    }
  }
}

async function crowdOf(bench: Bench, name: (typeof bench.options.peers)[number]): Promise<void> {
  await bench.onStage({ driver: 'answering', peers: [name] }, async stage => {
    const [peer] = stage.peers
    if (peer?.pid === undefined) return
    const load = stage.load()
    const points: { x: number; y: number }[] = []
    let clients = 0
    const room = Math.floor((mostDescriptors() - SPARE_DESCRIPTORS) / DESCRIPTORS_A_CLIENT[name])
    const steps = bench.scale.idleSteps.map(step => Math.min(step, room))
    for (const step of new Set(steps)) {
      bench.progress(name, { clients: step }, 'opening')
      await load.open(peer.target(TEST_URI), step - clients)
      clients = step
      await sleep(Math.min(SETTLE_MS, 3 * bench.scale.sliceMs))
      await quiet([peer.pid])
      const bytes = residentBytes(peer.pid)
      points.push({ x: clients, y: bytes })
      bench.record(name, { clients }, 0, RESIDENT, bytes / 1e6)
    }
    bench.record(name, {}, 0, PER_CLIENT, slope(points) / 1000)
  })
}
