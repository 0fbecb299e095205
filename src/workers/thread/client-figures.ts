/** Words of a client: its id, then its figures. Numbers go from thread to thread as one piece of memory. */
const WORDS = 7

export interface ClientFigures {
  /** That were sent to its driver daemon, so far. */
  readonly calls: number
  /** With its driver daemon, and not given to it yet. */
  readonly inFlight: number
  readonly waiting: number
  /** Age of the oldest of both; 0 if there is none. */
  readonly oldestMs: number
  readonly bytesIn: number
  readonly bytesOut: number
}

/** What is looked at in a session. */
export interface FiguredSession {
  readonly record: { readonly id: number }
  readonly flow: {
    readonly calls: { readonly size: number; readonly total: number }
    readonly waiting: number
    /** When the oldest call came, of performance.now; 0 if there is none, or nobody notes that. */
    readonly oldest: number
  }
  readonly client: { readonly transport: { readonly bytesIn: number; readonly bytesOut: number } }
}

export function packFigures(sessions: Iterable<FiguredSession>, count: number, now: number): Float64Array<ArrayBuffer> {
  const packed = new Float64Array(count * WORDS)
  let at = 0
  for (const { record: { id }, flow: { calls, waiting, oldest }, client: { transport: { bytesIn, bytesOut } } } of sessions) {
    packed.set([id, calls.total, calls.size, waiting, oldest > 0 ? now - oldest : 0, bytesIn, bytesOut], at)
    at += WORDS
  }
  return packed
}

/** By the ids of clients. */
export class PackedFigures {
  readonly #places = new Map<number, { readonly table: Float64Array; readonly at: number }>()

  constructor(tables: readonly Float64Array[]) {
    for (const table of tables) for (let at = 0; at < table.length; at += WORDS) this.#places.set(table[at]!, { table, at })
  }

  get(id: number): ClientFigures | undefined {
    const place = this.#places.get(id)
    if (place === undefined) return undefined
    const { table, at } = place
    const word = (which: number): number => table[at + which]!
    return { calls: word(1), inFlight: word(2), waiting: word(3), oldestMs: word(4), bytesIn: word(5), bytesOut: word(6) }
  }
}
