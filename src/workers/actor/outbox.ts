import type { ServedRecord } from '../thread/client-record.js'
import type { ActorNews, AuditNews, FromActor, LoadNews } from '../thread/control.js'

const NEWS_MS = 5
const OPENED_MS = 100

/**
 * What a thread has to tell its supervisor. News of a few milliseconds travels in one message: each wakes the supervisor's
 * thread. What clients become comes before what has become of them.
 */
export class Outbox {
  readonly #post: (news: FromActor) => void
  readonly #takeLines: () => readonly string[]
  /** Each of these is heard, in their order. */
  #steps: ActorNews[] = []
  /** Clients of whose records the supervisor has not heard yet. */
  readonly #changed = new Set<ServedRecord>()
  /** Of these it is told what they have opened. */
  readonly #opened = new Set<ServedRecord>()
  #news: (ActorNews | LoadNews)[] = []
  #toFlush = false
  #toTellOpened = false

  /** `takeLines`: records of the audit that are to go along. */
  constructor(post: (news: FromActor) => void, takeLines: () => readonly string[]) {
    this.#post = post
    this.#takeLines = takeLines
  }

  tell(news: ActorNews | LoadNews): void {
    this.#news.push(news)
    this.flushSoon()
  }

  /** A client has come on: by what it came, or, where each change is to be heard, what it is now. */
  step(step: ActorNews): void {
    this.#steps.push(step)
    this.flushSoon()
  }

  /** Something has changed in the record of a client: what it is in the end is told. */
  changed(record: ServedRecord): void {
    this.#changed.add(record)
    this.flushSoon()
  }

  /** A client has opened a name. Nobody waits to hear of that, and many have gone again by then. */
  opened(record: ServedRecord): void {
    this.#opened.add(record)
    if (this.#toTellOpened) return
    this.#toTellOpened = true
    setTimeout(() => this.#tellOpened(), OPENED_MS).unref()
  }

  #tellOpened(): void {
    this.#toTellOpened = false
    for (const record of this.#opened) this.changed(record)
    this.#opened.clear()
  }

  /** It has ended, and what it was comes with that. */
  forget(record: ServedRecord): void {
    this.#changed.delete(record)
    this.#opened.delete(record)
  }

  flushSoon(): void {
    if (this.#toFlush) return
    this.#toFlush = true
    setTimeout(() => this.flush(), NEWS_MS)
  }

  flush(): void {
    this.#toFlush = false
    const news: (ActorNews | LoadNews | AuditNews)[] = [...this.#steps]
    for (const record of this.#changed) {
      news.push(changeOf(record))
      this.#opened.delete(record)
    }
    const lines = this.#takeLines()
    if (lines.length > 0) news.push({ kind: 'audit', lines })
    news.push(...this.#news)
    this.#steps = []
    this.#news = []
    this.#changed.clear()
    if (news.length > 0) this.#post(news)
  }
}

export const changeOf = ({ id, state, identity, opened }: ServedRecord): ActorNews => ({ kind: 'client', id, state, identity, opened })
