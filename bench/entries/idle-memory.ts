import type { Bench } from '../bench.js'
import type { Figure } from '../results/samples.js'
import { mostDescriptors } from '../system/descriptors.js'
import { residentBytes, slope } from '../system/memory.js'
import type { Entry } from './entry.js'
import { idleSteps } from './idle-steps.js'

const PER_CLIENT: Figure = { figure: 'memory per idle client', unit: 'kB', better: 'lower' }
const RESIDENT: Figure = { figure: 'resident memory', unit: 'MB', better: 'lower' }
/** What a client costs each of them; there must be room for all. */
const DESCRIPTORS_A_CLIENT = { virtbroker: 2, base: 2, haproxy: 2, libvirtd: 3, direct: 1 } as const
const SPARE_DESCRIPTORS = 500

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
    const room = Math.floor((mostDescriptors() - SPARE_DESCRIPTORS) / DESCRIPTORS_A_CLIENT[name])
    const { pid } = peer
    await idleSteps(bench, peer, load, room, bench.scale.idleSteps, [pid], clients => {
      const bytes = residentBytes(pid)
      points.push({ x: clients, y: bytes })
      bench.record(name, { clients }, 0, RESIDENT, bytes / 1e6)
    })
    bench.record(name, {}, 0, PER_CLIENT, slope(points) / 1000)
  })
}
