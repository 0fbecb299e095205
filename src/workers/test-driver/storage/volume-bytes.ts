import { DOMAIN, systemError, type RemoteError } from '../../../protocol/errors.js'

/** Volumes are kept in pieces of this many bytes; a piece of zeros is not kept at all. */
const PIECE = 64 * 1024
/** All volumes of the thread together hold no more than this. */
const MOST_BYTES = 1024 * 1024 * 1024
const ENOSPC = 28

let held = 0

/** Nothing more fits; the words are those of libvirt's file streams. */
export const noSpace = (): RemoteError =>
  systemError(ENOSPC, 'cannot write to stream: No space left on device', DOMAIN.streams)

/** The contents of one volume, in memory, sparse. Bytes that were never written are zero. Offsets are in bytes. */
export class VolumeBytes {
  readonly #pieces = new Map<number, Buffer>()

  write(offset: number, bytes: Buffer): void {
    for (let done = 0; done < bytes.length;) {
      const at = offset + done
      const index = Math.floor(at / PIECE)
      const inside = at % PIECE
      const count = Math.min(PIECE - inside, bytes.length - done)
      const part = bytes.subarray(done, done + count)
      let piece = this.#pieces.get(index)
      if (!piece && part.some(byte => byte !== 0)) {
        if (held + PIECE > MOST_BYTES) throw noSpace()
        held += PIECE
        this.#pieces.set(index, (piece = Buffer.alloc(PIECE)))
      }
      piece?.set(part, inside)
      done += count
    }
  }

  /** `length` bytes become zero. */
  clear(offset: number, length: number): void {
    const end = offset + length
    for (const [index, piece] of this.#pieces) {
      const from = Math.max(offset - index * PIECE, 0)
      const to = Math.min(end - index * PIECE, PIECE)
      if (from >= to) continue
      if (from === 0 && to === PIECE) this.#drop(index)
      else piece.fill(0, from, to)
    }
  }

  #drop(index: number): void {
    if (this.#pieces.delete(index)) held -= PIECE
  }

  read(offset: number, length: number): Buffer {
    const out = Buffer.alloc(length)
    for (let done = 0; done < length;) {
      const at = offset + done
      const inside = at % PIECE
      const count = Math.min(PIECE - inside, length - done)
      this.#pieces.get(Math.floor(at / PIECE))?.copy(out, done, inside, inside + count)
      done += count
    }
    return out
  }

  /** How many bytes from `offset` on, up to `most`, lie in pieces that are kept (`data`) or are not. */
  extent(offset: number, most: number): { data: boolean; length: number } {
    const data = this.#pieces.has(Math.floor(offset / PIECE))
    let to = (Math.floor(offset / PIECE) + 1) * PIECE
    while (to < offset + most && this.#pieces.has(to / PIECE) === data) to += PIECE
    return { data, length: Math.min(to - offset, most) }
  }

  copyTo(other: VolumeBytes): void {
    for (const [index, piece] of this.#pieces) other.write(index * PIECE, piece)
  }

  /** The volume is gone. */
  free(): void {
    for (const index of [...this.#pieces.keys()]) this.#drop(index)
  }
}
