import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.js'
import type { PeerName } from '../peers/peers.js'
import type { Figure } from '../results/samples.js'
import { residentBytes, slope } from '../system/memory.js'
import { quiet } from '../system/quiet.js'
import { SHARING, TEST_URI, type Entry } from './entry.js'

const PER_CLIENT: Figure = { figure: 'memory per idle client, daemon included', unit: 'kB', better: 'lower' }
/** More idle clients than these are not opened at the daemon itself: it takes minutes. */
const MOST = 4000
const SETTLE_MS = 1500

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
  await bench.onStage({ conf: SHARING, peers: [name] }, async stage => {
    // The broker of a comparison is there, too.
    const peer = stage.peers.find(one => one.name === name)!
    const load = stage.load()
    const pids = [peer.pid, ...peer.driver.pids].filter(pid => pid !== undefined)
    const points: { x: number; y: number }[] = []
    let clients = 0
    const steps = bench.scale.idleSteps.map(step => Math.min(MOST, step))
    for (const step of new Set(steps)) {
      bench.progress(name, { clients: step }, 'opening')
      await load.open(peer.target(TEST_URI), step - clients)
      clients = step
      await sleep(Math.min(SETTLE_MS, 3 * bench.scale.sliceMs))
      await quiet(pids)
      points.push({ x: clients, y: pids.reduce((sum, pid) => sum + residentBytes(pid), 0) })
    }
    bench.record(name, {}, 0, PER_CLIENT, slope(points) / 1000)
  })
}
