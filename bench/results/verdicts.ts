import type { Entry } from '../entries/entry.js'
import type { PeerName } from '../peers/peers.js'
import { tooShort, type Scale } from '../scale.js'
import { ratios, type Point, type Sample } from './samples.js'

/** A goal at one point, and what was measured there. */
export interface Verdict {
  entry: string
  figure: string
  point: Point
  against: PeerName | Point
  ratio: number
  /** Of the rounds. */
  least: number
  most: number
  /** The ratio must be at most this, or at least where higher is better. */
  limit: number
  better: 'lower' | 'higher'
  met: boolean
}

/** None where the turns are too short to say anything. */
export function verdicts(entries: readonly Entry[], samples: readonly Sample[], scale: Scale): Verdict[] {
  if (tooShort(scale)) return []
  const found: Verdict[] = []
  for (const { name, goals } of entries) {
    const own = samples.filter(({ entry }) => entry === name)
    for (const { figure, against, limit, at } of goals) {
      for (const { point, ratio, least, most, better, ...rest } of ratios(own, 'virtbroker', against)) {
        if (rest.figure !== figure || (at !== undefined && !at(point))) continue
        const met = better === 'lower' ? ratio <= limit : ratio >= limit
        found.push({ entry: name, figure, point, against, ratio, least, most, limit, better, met })
      }
    }
  }
  return found
}
