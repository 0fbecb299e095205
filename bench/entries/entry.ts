import type { Bench } from '../bench.js'
import type { PeerName } from '../peers/peers.js'
import type { Point } from '../results/samples.js'

/** The broker's figure must be at most (at least, where higher is better) `limit` times the other's. */
export interface Goal {
  figure: string
  /** Another peer at the same point, or the broker itself at another. */
  against: PeerName | Point
  limit: number
  /** Points where it is asked for; all if not given. */
  at?: (point: Point) => boolean
}

/** One claim of docs/performance.md, and how it is measured. */
export interface Entry {
  name: string
  claim: string
  goals: readonly Goal[]
  /** Calls end at a real libvirtd in any case: the entry needs its storage driver. */
  needsLibvirtd?: true
  run(bench: Bench): Promise<void>
}

/** What every driver here can open. */
export const TEST_URI = 'test:///default'
export const STORAGE_URI = 'storage:///system'
