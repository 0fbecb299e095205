import type { Bench } from '../bench.js'
import type { PeerName } from '../peers/peers.js'
import type { Figure } from '../results/samples.js'
import { residentBytes, slope } from '../system/memory.js'
import type { Entry } from './entry.js'
import { idleSteps } from './idle-steps.js'

const PER_CLIENT: Figure = { figure: 'memory per idle client, daemon included', unit: 'kB', better: 'lower' }
/** More idle clients than these are not opened at the daemon itself: it takes minutes. */
const MOST = 4000

/** What an idle client costs all processes together. */
export const sharedMemory: Entry = {
  name: 'shared-memory',
  claim: 'With shared driver connections, an idle client costs memory in the broker alone, and none in the daemon.',
  goals: [{ figure: PER_CLIENT.figure, against: 'direct', limit: 0.5 }],
  async run(bench) {
    for (const name of ['virtbroker', 'base', 'haproxy', 'direct'] as const) {
      if (bench.options.peers.includes(name)) await crowdOf(bench, name)
    }
  }
}

async function crowdOf(bench: Bench, name: PeerName): Promise<void> {
  await bench.onStage({ sharing: true, peers: [name] }, async stage => {
    // The broker of a comparison is there, too.
    const peer = stage.peers.find(one => one.name === name)!
    const load = stage.load()
    const pids = [peer.pid, ...peer.driver.pids].filter(pid => pid !== undefined)
    const points: { x: number; y: number }[] = []
    await idleSteps(bench, peer, load, MOST, bench.scale.idleSteps, pids, clients => {
      points.push({ x: clients, y: pids.reduce((sum, pid) => sum + residentBytes(pid), 0) })
    })
    bench.record(name, {}, 0, PER_CLIENT, slope(points) / 1000)
  })
}
