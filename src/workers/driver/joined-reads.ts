import { frameLength, HEADER_BYTES } from '../../protocol/header.js'
import type { Procedure } from '../../protocol/procedures.js'

/** Calls that one call stands for beside itself: what its reply costs has an end. */
export const MOST_JOINED = 1024
/** Longer arguments are not compared. */
export const MAX_JOINED_ARGUMENT_BYTES = 4096

const SERIAL_AT = 20
const BEHIND_SERIAL = 24

/**
 * What the whole call at `bytes[at]` asks, if one answer may serve all who ask it: every byte but those of its serial. Calls
 * that change nothing have one; but those that wait for no hypervisor show that the daemon lives, to each who asks.
 */
export function questionOf(procedure: Procedure | undefined, bytes: Buffer, at: number): string | undefined {
  if (procedure?.pure !== true || procedure.priority === 'high') return undefined
  const end = at + frameLength(bytes, at)
  if (end - at > HEADER_BYTES + MAX_JOINED_ARGUMENT_BYTES) return undefined
  return bytes.toString('latin1', at, at + SERIAL_AT) + bytes.toString('latin1', at + BEHIND_SERIAL, end)
}

/** Somebody whose next call waits for room. */
export interface WaitingReader {
  readonly user: { readonly judge: { readonly onlyReads: boolean } }
  /** The call may go. */
  judged(): void
}

interface Same {
  readonly question: string
  readonly readers: Set<WaitingReader>
}

/** Sessions of one key whose next call waits for room, by what it asks. */
export class WaitingReads {
  readonly #same = new Map<string, Same>()
  readonly #of = new Map<WaitingReader, Same>()

  add(reader: WaitingReader, question: string): void {
    const before = this.#of.get(reader)
    if (before?.question === question) return
    if (before !== undefined) this.forget(reader)
    let same = this.#same.get(question)
    if (same === undefined) this.#same.set(question, (same = { question, readers: new Set() }))
    same.readers.add(reader)
    this.#of.set(reader, same)
  }

  /** Its call is out, or it is gone. */
  forget(reader: WaitingReader): void {
    const same = this.#of.get(reader)
    if (same === undefined) return
    this.#of.delete(reader)
    same.readers.delete(reader)
    if (same.readers.size === 0) this.#same.delete(same.question)
  }

  /** A call that asks this is about to leave: theirs can join it. They do so at once, and are forgotten then. */
  tell(question: string): void {
    const same = this.#same.get(question)
    if (same === undefined) return
    let count = 0
    for (const reader of [...same.readers]) {
      if (!reader.user.judge.onlyReads) continue
      reader.judged()
      if (++count === MOST_JOINED) return
    }
  }
}
