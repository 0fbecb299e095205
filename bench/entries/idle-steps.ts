import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.js'
import type { Load } from '../load/load.js'
import type { Peer } from '../peers/peers.js'
import { quiet } from '../system/quiet.js'
import { TEST_URI } from './entry.js'

/** Until what the opening left behind is cleared away. */
const SETTLE_MS = 1500

/** Opens more and more idle clients, in these steps up to `most`, and has them looked at after each step, when the processes are quiet. */
export async function idleSteps(
  bench: Bench, peer: Peer, load: Load, most: number, steps: readonly number[], pids: readonly number[],
  look: (clients: number) => void | Promise<void>
): Promise<void> {
  let clients = 0
  for (const step of new Set(steps.map(step => Math.min(step, most)))) {
    bench.progress(peer.name, { clients: step }, 'opening')
    await load.open(peer.target(TEST_URI), step - clients)
    clients = step
    await sleep(Math.min(SETTLE_MS, 3 * bench.scale.sliceMs))
    await quiet(pids)
    await look(clients)
  }
}
