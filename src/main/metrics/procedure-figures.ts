import { lookup } from '../../protocol/procedures.js'
import { DRIVERS, OUTCOMES, SLOT, SLOT_WORDS, SLOTS_AT, SLOTS_USED_AT, SPANS } from '../../workers/thread/metric-families.js'

/** What is told of the calls of one procedure at one driver. */
export interface ProcedureFigures {
  /** OTHER for all procedures that are not told of one by one. */
  readonly program: string
  readonly procedure: string
  readonly driver: string
  /** Calls by their outcome, in the order of OUTCOMES. */
  readonly outcomes: readonly number[]
  readonly slow: number
  /** Words of a histogram, of those that a driver daemon has answered. */
  readonly durations: readonly number[]
}

export const OTHER = '_OTHER'
/** More procedures than this are not told of one by one. */
const MAX_PROCEDURES = 200
/** In the place of a procedure's. */
const NO_PLACE = -1

/** Adds up what the threads have counted of calls. */
export class ProcedureSums {
  /** Places of the procedures that are told of, in the order in which they were first seen: they stay that for good. */
  readonly #told = new Set<number>()

  /** `threads`: their memory. */
  sum(threads: readonly Float64Array[]): ProcedureFigures[] {
    const sums = new Map<string, { place: number; driver: number; words: number[] }>()
    for (const words of threads) {
      for (let slot = 0; slot < words[SLOTS_USED_AT]!; slot++) {
        const at = SLOTS_AT + slot * SLOT_WORDS
        const key = words[at + SLOT.key]!
        const place = slot < DRIVERS.length ? NO_PLACE : this.#tell(Math.floor(key / DRIVERS.length))
        const driver = slot < DRIVERS.length ? slot : key % DRIVERS.length
        const id = `${place} ${driver}`
        let sum = sums.get(id)?.words
        if (sum === undefined) sums.set(id, { place, driver, words: (sum = new Array<number>(SLOT_WORDS).fill(0)) })
        for (let word = SLOT.outcomes; word < SLOT_WORDS; word++) sum[word]! += words[at + word]!
      }
    }
    return [...sums.values()].map(({ place, driver, words }) => ({
      ...nameOf(place),
      driver: DRIVERS[driver]!,
      outcomes: words.slice(SLOT.outcomes, SLOT.outcomes + OUTCOMES.length),
      slow: words[SLOT.slow]!,
      durations: words.slice(SLOT.duration)
    })).filter(({ outcomes }) => outcomes.some(count => count > 0))
  }

  #tell(place: number): number {
    if (this.#told.has(place)) return place
    if (this.#told.size >= MAX_PROCEDURES) return NO_PLACE
    this.#told.add(place)
    return place
  }
}

function nameOf(place: number): { program: string; procedure: string } {
  let proc = place
  for (const { prog, name, procedures } of SPANS) {
    if (proc >= 0 && proc < procedures) return { program: name, procedure: lookup(prog, proc)!.name }
    proc -= procedures
  }
  return { program: OTHER, procedure: OTHER }
}
