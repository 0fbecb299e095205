import type { Entry } from '../entries/entry.js'
import type { PeerName } from '../peers/peers.js'
import { ratios, type Point, type Sample } from './samples.js'

/** A goal at one point, and what was measured there. */
export interface Verdict {
  entry: string
  figure: string
  point: Point
  against: PeerName | Point
  ratio: number
  /** The ratio must be at most this, or at least where higher is better. */
  limit: number
  better: 'lower' | 'higher'
  met: boolean
}

export function verdicts(entries: readonly Entry[], samples: readonly Sample[]): Verdict[] {
  const found: Verdict[] = []
  for (const { name, goals } of entries) {
    const own = samples.filter(({ entry }) => entry === name)
    for (const { figure, against, limit, at } of goals) {
      for (const { point, ratio, better, ...rest } of ratios(own, 'virtbroker', against)) {
        if (rest.figure !== figure || (at !== undefined && !at(point))) continue
        const met = better === 'lower' ? ratio <= limit : ratio >= limit
        found.push({ entry: name, figure, point, against, ratio, limit, better, met })
      }
    }
  }
  return found
}
