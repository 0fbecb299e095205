import { SILENCE_MS } from './eviction.js'

/** A connection that was accepted and has no place yet. */
export interface Waiting {
  readonly owner: string
  /** When it came. Times are in milliseconds, of any clock. */
  readonly since: number
}

/** Owners that have something to say and are given no place for so long are in need. */
const NEED_MS = 1000

/** What one owner has waiting, in the order in which it came. */
interface Line<W> {
  /** Since when each has something to say. */
  readonly speaking: Map<W, number>
  readonly silent: Set<W>
  /** When the owner was last given a place, as long as something of it waits. */
  servedAt: number
}

const NEVER = -Infinity

/** What decides whose turn it is: less is sooner. */
interface Rank {
  held: number
  servedAt: number
  since: number
}

const lengthOf = <W>({ speaking, silent }: Line<W>): number => speaking.size + silent.size

/**
 * Connections of one listener that wait for a place. Those that have something to say come before the silent: of the owner that
 * has fewest places, or was not given one for longest, and of an owner in their order.
 */
export class WaitingConnections<W extends Waiting> {
  readonly #lines = new Map<string, Line<W>>()
  readonly #silent = new Set<W>()
  #size = 0

  get size(): number {
    return this.#size
  }

  get all(): W[] {
    return [...this.#lines.values()].flatMap(({ speaking, silent }) => [...speaking.keys(), ...silent])
  }

  add(connection: W): void {
    const { owner } = connection
    let line = this.#lines.get(owner)
    if (line === undefined) this.#lines.set(owner, (line = { speaking: new Map(), silent: new Set(), servedAt: NEVER }))
    line.silent.add(connection)
    this.#silent.add(connection)
    this.#size++
  }

  speaks(connection: W, now: number): void {
    if (!this.#silent.delete(connection)) return
    const line = this.#lines.get(connection.owner)!
    line.silent.delete(connection)
    line.speaking.set(connection, now)
  }

  /** False if it was not here. */
  remove(connection: W): boolean {
    const line = this.#lines.get(connection.owner)
    const known = line !== undefined && (line.speaking.delete(connection) || line.silent.delete(connection))
    if (!known) return false
    this.#silent.delete(connection)
    this.#size--
    if (lengthOf(line) === 0) this.#lines.delete(connection.owner)
    return true
  }

  /** One of the owner's is about to get a place. */
  serve(owner: string, now: number): void {
    const line = this.#lines.get(owner)
    if (line !== undefined) line.servedAt = now
  }

  /** Whose turn it is. `held`: how many of the owner have a place, and could be waiting as well. */
  next(held: (owner: string) => number, now: number): W | undefined {
    const silent = this.longestSilent
    const rank = ({ owner, since }: W): Rank => ({ held: held(owner), servedAt: this.#lines.get(owner)!.servedAt, since })
    let found = silent !== undefined && silent.since > now - SILENCE_MS ? silent : undefined
    let best = found && rank(found)
    for (const { speaking } of this.#lines.values()) {
      const connection = first(speaking.keys())
      if (connection === undefined) continue
      const its = rank(connection)
      if (best === undefined || precedes(its, best)) [found, best] = [connection, its]
      // Lines stand in the order in which they began: among thousands of owners there is none better.
      if (its.held === 0 && its.servedAt === NEVER) break
    }
    return found ?? silent
  }

  /** The first of an owner that has something to say. */
  firstOf(owner: string): W | undefined {
    const line = this.#lines.get(owner)
    return line && first(line.speaking.keys())
  }

  /** Owners that have something to say and were given no place for a while, and for how long not; the longest first. */
  inNeed(now: number): { owner: string; waitedMs: number }[] {
    const found: { owner: string; waitedMs: number }[] = []
    for (const [owner, { speaking, servedAt }] of this.#lines) {
      const waitedMs = now - Math.max(first(speaking.values()) ?? now, servedAt)
      if (waitedMs >= NEED_MS) found.push({ owner, waitedMs })
    }
    return found.sort((one, other) => other.waitedMs - one.waitedMs)
  }

  /** Of those that have said nothing, the one that came first. */
  get longestSilent(): W | undefined {
    return first(this.#silent)
  }

  /** Of those that have said nothing since they came before `before`, the first of the owner that has most waiting. */
  dispensable(before: number): W | undefined {
    let found: { connection: W; length: number } | undefined
    for (const line of this.#lines.values()) {
      const connection = first(line.silent)
      if (connection === undefined || connection.since >= before) continue
      if (found === undefined || lengthOf(line) > found.length) found = { connection, length: lengthOf(line) }
    }
    return found?.connection
  }

  /** The newest of the owner that has most; undefined if `newcomer`, one more of an owner, has as many. */
  oneTooMany(newcomer: string): W | undefined {
    const own = this.#lines.get(newcomer)
    let most: Line<W> | undefined
    for (const line of this.#lines.values()) if (most === undefined || lengthOf(line) > lengthOf(most)) most = line
    if (most === undefined || lengthOf(most) <= (own === undefined ? 0 : lengthOf(own)) + 1) return undefined
    return [...most.silent].at(-1) ?? [...most.speaking.keys()].at(-1)
  }
}

function precedes(one: Rank, other: Rank): boolean {
  if (one.held !== other.held) return one.held < other.held
  if (one.servedAt !== other.servedAt) return one.servedAt < other.servedAt
  return one.since < other.since
}

function first<T>(all: Iterable<T>): T | undefined {
  for (const one of all) return one
  return undefined
}
