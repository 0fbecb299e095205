const HEADER_BYTES = 5

/** Where the records of a TLS connection end: each begins with five bytes, of which the last two are the length of the rest. */
export class RecordBounds {
  /** Bytes of the current record's header that have come. */
  #header = 0
  /** Of the record: what its header says so far, and then what is still to come. */
  #rest = 0

  /** Everything up to here is whole records. */
  get between(): boolean {
    return this.#header === 0
  }

  /** Bytes up to the end of the current header, or, behind that, of the record. */
  get wanted(): number {
    return this.#header < HEADER_BYTES ? HEADER_BYTES - this.#header : this.#rest
  }

  /** Goes on to the end of the current record, or to `to` if it is not all there. Returns where that is. */
  next(bytes: Uint8Array, from: number, to: number): number {
    let at = from
    while (this.#header < HEADER_BYTES) {
      if (at === to) return to
      if (this.#header >= 3) this.#rest = (this.#rest << 8) | bytes[at]!
      this.#header++
      at++
    }
    const count = Math.min(this.#rest, to - at)
    this.#rest -= count
    if (this.#rest === 0) this.#header = 0
    return at + count
  }
}
