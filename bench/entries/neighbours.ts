import type { Bench, Stage } from '../bench.js'
import type { Load } from '../load/load.js'
import type { Outcome } from '../load/orders.js'
import { measure, record } from '../measure.js'
import type { Peer } from '../peers/peers.js'
import { turn } from '../rounds.js'
import { GET_LIB_VERSION } from './calls.js'

const CALLS_PER_SECOND = 2000

/** Something that others do while well-behaved clients work. */
export interface Neighbour {
  name: string
  /** Starts it; `others` has no clients yet. Resolves when it is going on. */
  begin: (others: Load, peer: Peer, ms: number) => Promise<void>
}

/** Well-behaved clients of a peer. */
export interface Calm {
  peer: Peer
  load: Load
}

/**
 * The latency that well-behaved clients see at a fixed, moderate rate, with each kind of neighbour in turn. The
 * neighbours have a process of their own and are ended after each measurement.
 */
export async function withNeighbours(
  bench: Bench,
  stage: Stage,
  calm: readonly Calm[],
  neighbours: readonly Neighbour[]
): Promise<void> {
  const { rounds, warmMs, sliceMs } = bench.scale
  const work = (load: Load, ms: number): Promise<Outcome> =>
    load.order({ do: 'fixed-rate', call: GET_LIB_VERSION, ms, callsPerSecond: CALLS_PER_SECOND })
  for (const { load } of calm) await work(load, warmMs)
  for (const round of bench.inTime()) {
    for (const { name, begin } of neighbours) {
      const point = { beside: name }
      for (const { peer, load } of turn(calm, round)) {
        bench.progress(peer.name, point, `round ${round + 1} of ${rounds}`)
        const others = stage.load()
        await others.ready()
        await begin(others, peer, sliceMs)
        const measured = await measure(bench, peer, load.pid, () => work(load, sliceMs))
        record(bench, peer, point, round, measured, { cpu: false, rate: false })
        await others.stop()
      }
    }
  }
}
