import { ROOT } from './owner.js'

/** A connection that is not logged in, and could be closed to make room. */
export interface Candidate {
  readonly owner: string
  /** For how long nothing has come from it that it was to send. */
  readonly silentMs: number
  /** It has sent something. */
  readonly hasSpoken: boolean
  /** For how long it has had its place. */
  readonly ageMs: number
}

/** Somebody who has sent something and has no place. */
export interface Claim {
  readonly owner: string
  /** For how long the owner has been given no place. */
  readonly waitedMs: number
}

/** Who sends nothing for so long can be closed for others, … */
export const SILENCE_MS = 1000
/** … and after it has begun to speak, for others of its own: in a crowd from a busy host each may be slow. */
const OWN_SILENCE_MS = 5000
/** Who has had its place for so long can be closed for one who has waited as long, even if it is not silent. */
const PATIENCE_MS = 5000

/** What one owner has. */
interface Holding<C> {
  count: number
  /** Those that could go, the longest silent first. */
  silent: C[]
  readonly all: Set<C>
}

/**
 * Who is to go so that a claim can be met: the longest silent one of the owner that has most. Nobody loses a connection to
 * an owner who would then have as many; and root none to others.
 */
export class Eviction<C extends Candidate> {
  readonly #holdings = new Map<string, Holding<C>>()

  constructor(candidates: Iterable<C>) {
    for (const candidate of candidates) {
      const holding = this.#holding(candidate.owner)
      holding.count++
      holding.all.add(candidate)
      if (candidate.silentMs >= SILENCE_MS) holding.silent.push(candidate)
    }
    for (const { silent } of this.#holdings.values()) silent.sort((one, other) => other.silentMs - one.silentMs)
  }

  /** Undefined if nobody is to go for this. */
  choose({ owner, waitedMs }: Claim): C | undefined {
    const held = this.#holdings.get(owner)?.count ?? 0
    let most = held + 1
    for (const [other, { count }] of this.#holdings) if (other !== owner && mayLoseTo(other, owner)) most = Math.max(most, count)
    let found: { candidate: C; count: number } | undefined
    for (const [other, holding] of this.#holdings) {
      if (!mayLoseTo(other, owner)) continue
      // As it would be with the claim met.
      const count = other === owner ? held + 1 : holding.count
      if (count < most && count < held + 2) continue
      if (found !== undefined && count < found.count) continue
      const candidate = other === owner ? ownSilent(holding) : holding.silent[0]
      if (candidate === undefined) continue
      const better = found === undefined || count > found.count || candidate.silentMs > found.candidate.silentMs
      if (better) found = { candidate, count }
    }
    return found?.candidate ?? (waitedMs >= PATIENCE_MS ? this.#oldest(owner, held) : undefined)
  }

  /** It goes. */
  remove(candidate: C): void {
    this.spare(candidate)
    const holding = this.#holding(candidate.owner)
    holding.count--
    holding.all.delete(candidate)
  }

  /** It is not silent after all. */
  spare(candidate: C): void {
    const holding = this.#holding(candidate.owner)
    holding.silent = holding.silent.filter(other => other !== candidate)
  }

  /** One more of an owner has come in. */
  add(owner: string): void {
    this.#holding(owner).count++
  }

  /** Of the owner with most, provided that it still has more when the claim is met. */
  #oldest(owner: string, held: number): C | undefined {
    let found: { candidate: C; count: number } | undefined
    for (const [other, { count, all }] of this.#holdings) {
      if (!mayLoseTo(other, owner) || other === owner || count < held + 2 || (found !== undefined && count <= found.count)) continue
      let oldest: C | undefined
      for (const candidate of all) if (candidate.ageMs >= (oldest?.ageMs ?? PATIENCE_MS)) oldest = candidate
      if (oldest !== undefined) found = { candidate: oldest, count }
    }
    return found?.candidate
  }

  #holding(owner: string): Holding<C> {
    let holding = this.#holdings.get(owner)
    if (holding === undefined) this.#holdings.set(owner, (holding = { count: 0, silent: [], all: new Set() }))
    return holding
  }
}

const mayLoseTo = (owner: string, other: string): boolean => owner !== ROOT || other === ROOT

function ownSilent<C extends Candidate>({ silent }: Holding<C>): C | undefined {
  const [longest] = silent
  if (longest === undefined || longest.silentMs >= OWN_SILENCE_MS) return longest
  return silent.find(({ hasSpoken }) => !hasSpoken)
}
