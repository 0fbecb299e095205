import { frameLength, HEADER_BYTES, legalFrameLength, putFrameLength } from './header.js'
import { giveBack, LARGE_BYTES, takeLarge } from './spare-buffers.js'

/**
 * What happens to a frame; the sink says so when it has seen the header.
 *
 * - `pass`, `hold`: the frame's bytes are handed to `run` as they come, in pieces, together with those of neighbours
 *   that go the same way. Nothing is kept here, whatever the size of the frame.
 * - `split`: its payload is handed to `run` as it comes, too, but what has come of it is made a frame of its own, with
 *   the header repeated and the right length. So a run ends with the end of a frame, whenever the next bytes may come.
 *   For frames whose payload means the same in pieces. No piece is empty but that of a frame without payload.
 * - `collect`: `frame` gets it whole, in place if the chunk holds it all.
 * - `skip`: its bytes are dropped.
 */
export const DISPOSITION = { pass: 0, hold: 1, split: 2, collect: 3, skip: 4 } as const
export type Disposition = (typeof DISPOSITION)[keyof typeof DISPOSITION]

export interface FrameSink {
  /**
   * The header's 28 bytes stand at `bytes[at]`; its length word is legal. `whole`: the rest of the frame is known to
   * have come as well.
   */
  head(bytes: Buffer, at: number, whole: boolean): Disposition
  /** Bytes `from`…`to` of frames that go one way. They are valid during the call only. */
  run(bytes: Buffer, from: number, to: number, disposition: Disposition): void
  /** A whole collected frame, and what `head` noted of it. Its bytes are valid during the call only. */
  frame(bytes: Buffer, from: number, to: number, note: number): void
  /** `count` of the bytes that `expectTail` asked for have come. */
  tail?(count: number): void
  /** The length word cannot be: framing is lost, and the reader takes nothing more. */
  illegal(length: number): void
}

/** Frames that are judged in one `push`: a chunk of nothing but headers has thousands. */
const MAX_FRAMES_PER_PUSH = 1024
const FIRST_COLLECT_BYTES = 4096
/** When this much of a frame has come that fits into a large buffer, it gets one. */
const LARGE_FROM_BYTES = 64 * 1024

/**
 * Cuts a byte stream into frames, whatever pieces it comes in. Three graded costs: frames inside a chunk are judged in
 * place; a header that must outlive its chunk costs a copy of 28 bytes; only collected frames are ever kept, in a buffer
 * that grows with what has arrived and not with what was announced.
 */
export class FrameReader {
  readonly #sink: FrameSink
  /** Bytes of the current frame still to come. */
  #left = 0
  #disposition: Disposition = DISPOSITION.skip
  #note = 0
  /** Bytes outside any frame that come next. */
  #tail = 0
  /**
   * A header of which only `#headerFill` bytes have come, or, with 0 of them, that of the frame which is being split.
   * Made once, if ever.
   */
  #header: Buffer | undefined
  #headerFill = 0
  #collected: Buffer | undefined
  #collectedFill = 0
  #stopped = false
  #yielded = false
  #cutWanted = false

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /**
   * To be called from `head` before it says `collect`: what it has found out about the frame, so that it need not be
   * found out again when the frame is there. The last note stands until the next.
   */
  note(note: number): void {
    this.#note = note
  }

  /** Bytes of memory that are held for a frame which is being collected. */
  get keptBytes(): number {
    return this.#collected?.length ?? 0
  }

  /** Whether some of a frame, or of its header, has come, and the rest has not. */
  get unfinished(): boolean {
    return this.#left > 0 || this.#headerFill > 0 || this.#tail > 0
  }

  /** Whether a frame has begun to be passed on and is not through: nothing else may be written after it yet. */
  get inPassedFrame(): boolean {
    return this.#left > 0 && this.#disposition === DISPOSITION.pass
  }

  /** Bytes still to come of a frame that is passed on; 0 if there is none. They may go on without being pushed here. */
  get leftToPass(): number {
    return this.#disposition === DISPOSITION.pass && !this.#stopped ? this.#left : 0
  }

  /** `count` of those bytes have gone on. Returns whether that is the end of the frame and somebody waits for it. */
  passedUnseen(count: number): boolean {
    this.#left -= count
    if (this.#left > 0 || !this.#cutWanted) return false
    this.#cutWanted = false
    return true
  }

  /**
   * Somebody waits for the end of the frame that is being passed on: what is passed on up to there becomes a `run` of
   * its own. Otherwise a run may go on to the next frame, and the one after it.
   */
  cutAtFrameEnd(): void {
    this.#cutWanted = true
  }

  /** What becomes of the rest of a frame that is held or passed on. */
  divert(disposition: typeof DISPOSITION.pass | typeof DISPOSITION.skip): void {
    if (this.#disposition !== DISPOSITION.collect) this.#disposition = disposition
  }

  /**
   * Callable from `frame`: the collected frame is followed by `count` bytes that are no frame, one for each descriptor
   * that travels with it. They are counted and dropped.
   */
  expectTail(count: number): void {
    this.#tail = count
  }

  /** Take nothing more: what is left of the chunk, and every later one, is dropped. Callable from the sink. */
  stop(): void {
    this.#stopped = true
    if (this.#collected !== undefined) giveBack(this.#collected)
    this.#collected = undefined
  }

  /** Callable from the sink: what is left of the chunk after the frame in hand is not for now. `push` returns there. */
  yield(): void {
    this.#yielded = true
  }

  /**
   * Takes a chunk. Returns where it stopped: at the chunk's end, unless the sink wanted it to yield or there were very
   * many frames. What is left must then be pushed before anything else. If the sink splits frames, the chunk and
   * `HEADER_BYTES` before its start are overwritten: the header of a piece is put right before it, so that both leave in
   * one run.
   */
  push(bytes: Buffer, start: number, end: number): number {
    if (this.#stopped) return end
    this.#yielded = false
    let at = start
    let frames = 0
    if (this.#headerFill > 0) at = this.#finishHeader(bytes, at, end)
    let run = at
    if (this.#left > 0 && this.#disposition === DISPOSITION.split && at < end) run = this.#headPiece(bytes, at, end)
    while (at < end && !this.#stopped) {
      if (this.#tail > 0) {
        const count = Math.min(this.#tail, end - at)
        this.#tail -= count
        at += count
        run = at
        this.#sink.tail?.(count)
        continue
      }
      if (this.#left > 0) {
        const count = Math.min(this.#left, end - at)
        this.#left -= count
        at += count
        if (this.#disposition === DISPOSITION.collect) {
          this.#collect(bytes, at - count, at)
          run = at
        } else if (this.#disposition === DISPOSITION.skip) run = at
        else if (this.#cutWanted && this.#left === 0) {
          this.#cutWanted = false
          this.#flush(bytes, run, at)
          run = at
        }
        continue
      }
      if (this.#yielded) break
      if (end - at < HEADER_BYTES) {
        this.#flush(bytes, run, at)
        this.#keepHeader(bytes, at, end)
        run = at = end
        break
      }
      const length = frameLength(bytes, at)
      if (!legalFrameLength(length)) {
        this.#flush(bytes, run, at)
        this.#illegal(length)
        return end
      }
      if (++frames === MAX_FRAMES_PER_PUSH) this.#yielded = true
      const disposition = this.#sink.head(bytes, at, length <= end - at)
      if (this.#stopped) return end
      if (disposition !== this.#disposition || disposition >= DISPOSITION.collect) {
        this.#flush(bytes, run, at)
        run = at
        this.#disposition = disposition
      }
      if (disposition === DISPOSITION.collect && length <= end - at) {
        at += length
        run = at
        this.#sink.frame(bytes, at - length, at, this.#note)
      } else if (disposition === DISPOSITION.split && length > end - at) {
        this.#left = length - (end - at)
        this.#ownHeader().set(bytes.subarray(at, at + HEADER_BYTES))
        if (end - at > HEADER_BYTES) putFrameLength(bytes, at, end - at)
        else {
          this.#flush(bytes, run, at)
          run = end
        }
        at = end
      } else this.#left = length
    }
    if (this.#stopped) return end
    this.#flush(bytes, run, at)
    return at
  }

  #flush(bytes: Buffer, from: number, to: number): void {
    if (from < to && this.#disposition < DISPOSITION.collect) this.#sink.run(bytes, from, to, this.#disposition)
  }

  #illegal(length: number): void {
    this.stop()
    this.#sink.illegal(length)
  }

  #ownHeader(): Buffer {
    return (this.#header ??= Buffer.allocUnsafeSlow(HEADER_BYTES))
  }

  /** Makes a frame of the part of the frame being split that begins at `at`. Returns where its header stands. */
  #headPiece(bytes: Buffer, at: number, end: number): number {
    const from = at - HEADER_BYTES
    this.#header!.copy(bytes, from)
    putFrameLength(bytes, from, HEADER_BYTES + Math.min(this.#left, end - at))
    return from
  }

  #keepHeader(bytes: Buffer, from: number, to: number): void {
    const header = this.#ownHeader()
    bytes.copy(header, this.#headerFill, from, to)
    this.#headerFill += to - from
    // A length word is judged as soon as it is there: the rest of a bad header may never come.
    if (this.#headerFill >= 4) {
      const length = frameLength(header, 0)
      if (!legalFrameLength(length)) this.#illegal(length)
    }
  }

  /** Completes the split header, if the chunk has enough, and gives its frame's way. Returns where to go on. */
  #finishHeader(bytes: Buffer, at: number, end: number): number {
    const count = Math.min(HEADER_BYTES - this.#headerFill, end - at)
    this.#keepHeader(bytes, at, at + count)
    if (this.#stopped || this.#headerFill < HEADER_BYTES) return at + count
    this.#headerFill = 0
    const header = this.#header!
    const left = frameLength(header, 0) - HEADER_BYTES
    const disposition = this.#sink.head(header, 0, left <= end - at - count)
    if (this.#stopped) return end
    this.#disposition = disposition
    this.#left = left
    if (disposition === DISPOSITION.collect) this.#collect(header, 0, HEADER_BYTES)
    else if (disposition !== DISPOSITION.split || left === 0) this.#flush(header, 0, HEADER_BYTES)
    return at + count
  }

  #collect(bytes: Buffer, from: number, to: number): void {
    const fill = this.#collectedFill
    const need = fill + to - from
    let kept = this.#collected
    if (!kept || kept.length < need) {
      const larger = moreRoom(need, need + this.#left)
      if (kept) kept.copy(larger, 0, 0, fill)
      this.#collected = kept = larger
    }
    bytes.copy(kept, fill, from, to)
    this.#collectedFill = need
    if (this.#left > 0) return
    this.#collected = undefined
    this.#collectedFill = 0
    this.#sink.frame(kept, 0, need, this.#note)
    giveBack(kept)
  }
}

/** Room for the first `need` of `whole` bytes, and for as many again, without regard for what was only announced. */
function moreRoom(need: number, whole: number): Buffer {
  if (need >= LARGE_FROM_BYTES && whole <= LARGE_BYTES) return takeLarge()
  return Buffer.allocUnsafe(Math.min(whole, Math.max(2 * need, FIRST_COLLECT_BYTES)))
}
