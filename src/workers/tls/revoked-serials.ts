import { createHash } from 'node:crypto'
import type { Revoked } from './chain.js'

/** Words of an entry: the first 16 bytes of a digest of issuer and serial number. */
const WORDS = 4
const BYTES = 4 * WORDS

function digest(issuer: string, serial: string): Buffer {
  return createHash('sha256').update(issuer).update(':').update(serial).digest().subarray(0, BYTES)
}

/**
 * Which certificates are revoked, in memory that all threads share: lists of authorities have hundreds of thousands of
 * entries, and a copy for each thread would hold up its clients while it is made. Entries are digests, sorted.
 */
export class RevokedSerials implements Revoked {
  readonly #words: Uint32Array

  constructor(readonly shared: SharedArrayBuffer) {
    this.#words = new Uint32Array(shared)
  }

  /** The memory for these; an issuer and its serial numbers are written as in `Certificate`. */
  static share(lists: Iterable<{ issuer: string; serials: Iterable<string> }>): SharedArrayBuffer {
    const digests: Buffer[] = []
    for (const { issuer, serials } of lists) for (const serial of serials) digests.push(digest(issuer, serial))
    digests.sort((a, b) => a.compare(b))
    const shared = new SharedArrayBuffer(BYTES * digests.length)
    const words = new Uint32Array(shared)
    for (const [entry, bytes] of digests.entries()) {
      for (let word = 0; word < WORDS; word++) words[entry * WORDS + word] = bytes.readUInt32BE(4 * word)
    }
    return shared
  }

  get size(): number {
    return this.#words.length / WORDS
  }

  has(issuer: string, serial: string): boolean {
    if (this.size === 0) return false
    const wanted = digest(issuer, serial)
    let from = 0
    for (let to = this.size; from < to;) {
      const middle = (from + to) >>> 1
      const order = this.#compare(middle, wanted)
      if (order === 0) return true
      if (order < 0) from = middle + 1
      else to = middle
    }
    return false
  }

  #compare(entry: number, wanted: Buffer): number {
    for (let word = 0; word < WORDS; word++) {
      const difference = this.#words[entry * WORDS + word]! - wanted.readUInt32BE(4 * word)
      if (difference !== 0) return difference
    }
    return 0
  }
}
