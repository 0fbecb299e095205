import type { Bench, LoadProcess } from './bench.js'
import type { Outcome } from './load/orders.js'
import { measure, record, type Recorded } from './measure.js'
import type { Peer } from './peers/peers.js'
import type { Point } from './results/samples.js'

/** One peer's part in a comparison: `work` keeps `load` busy for about `ms`. */
export interface Contender {
  peer: Peer
  load: LoadProcess
  /** Where it is measured, beside what all of them have in common. */
  at?: Point
  work: (ms: number) => Promise<Outcome>
}

/**
 * Warms every peer up, then measures them in turns: whatever changes on the machine meanwhile meets all of them. A
 * round's figures are compared with those of the same round only. A turn begins with a part that is not measured: who
 * comes after others finds the caches cold, and the first of a round reversed comes after itself.
 */
export async function inTurns(
  bench: Bench,
  point: Point,
  contenders: readonly Contender[],
  recorded?: Recorded,
  rounds?: readonly number[]
): Promise<void> {
  const { warmMs, leadMs, sliceMs } = bench.scale
  for (const { peer, at, work } of contenders) {
    bench.progress(peer.name, { ...point, ...at }, 'warming up')
    await work(warmMs)
  }
  for (const round of bench.inTime(rounds)) {
    for (const { peer, load, at, work } of turn(contenders, round)) {
      const where = { ...point, ...at }
      bench.progress(peer.name, where, `round ${round + 1} of ${bench.scale.rounds}`)
      if (leadMs > 0) await work(leadMs)
      const measured = await measure(bench, peer, load.pid, () => work(sliceMs))
      record(bench, peer, where, round, measured, recorded)
    }
  }
}

/** The contenders in the order of round `round`: each is first, and last, about equally often. */
export function turn<T>(contenders: readonly T[], round: number): T[] {
  const start = round % contenders.length
  const turned = [...contenders.slice(start), ...contenders.slice(0, start)]
  return Math.floor(round / contenders.length) % 2 === 1 ? turned.reverse() : turned
}
