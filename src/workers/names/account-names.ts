import type { MessagePort } from 'node:worker_threads'
import type { Clock } from '../base/clock.js'
import { keyOf, type AccountKind, type NameAnswer, type NameQuestion } from './messages.js'

/** A name is as good as new for so long, … */
const FRESH_MS = 60_000
/** … and is still used for so long while it is looked up anew. Then it might be another's. */
const USABLE_MS = 600_000
/** That there is none is believed for so long: somebody may just be making the account. */
const UNKNOWN_MS = 10_000
/** Clients' ids, of which some users have many. Those without a name never push out those with one. */
const MAX_KEPT = 4096

/** Names of users and groups, as one thread knows them. */
export class AccountNames {
  readonly #named = new Map<string, { name: string; since: number }>()
  /** When it was said that there is none. */
  readonly #nameless = new Map<string, number>()
  readonly #asked = new Map<string, ((name: string | undefined) => void)[]>()

  /** `lasting`: what the ids 0 are called, of which nothing needs to be asked. */
  constructor(
    readonly port: MessagePort,
    readonly clock: Pick<Clock, 'now'>,
    readonly lasting: Readonly<Record<AccountKind, string>>
  ) {
    port.on('message', (answer: NameAnswer) => this.#answered(answer))
  }

  /** What is known now, if that is enough: a name, or that there is none. */
  find(kind: AccountKind, id: number): { name: string | undefined } | undefined {
    if (id === 0) return { name: this.lasting[kind] }
    const key = keyOf({ kind, id })
    const { now } = this.clock
    const entry = this.#named.get(key)
    const nameless = now - (this.#nameless.get(key) ?? -UNKNOWN_MS) < UNKNOWN_MS
    if (entry === undefined || now - entry.since >= USABLE_MS) return nameless ? { name: undefined } : undefined
    if (now - entry.since >= FRESH_MS && !nameless) this.#ask(kind, id, () => {})
    return entry
  }

  /** Asks, unless that is known. Resolves with undefined if there is no name, or nobody can say. */
  async get(kind: AccountKind, id: number): Promise<string | undefined> {
    const found = this.find(kind, id)
    return found === undefined ? new Promise(resolve => this.#ask(kind, id, resolve)) : found.name
  }

  close(): void {
    this.port.close()
  }

  #ask(kind: AccountKind, id: number, then: (name: string | undefined) => void): void {
    const key = keyOf({ kind, id })
    const asked = this.#asked.get(key)
    if (asked !== undefined) return void asked.push(then)
    this.#asked.set(key, [then])
    this.port.postMessage({ kind, id } satisfies NameQuestion)
  }

  #answered({ kind, id, name, failed }: NameAnswer): void {
    const key = keyOf({ kind, id })
    // Where nobody can say, the old name is as good as it was, and there is no use in asking again at once.
    if (failed !== true) this.#named.delete(key)
    if (name !== undefined) keep(this.#named, key, { name, since: this.clock.now })
    else keep(this.#nameless, key, this.clock.now)
    const asked = this.#asked.get(key) ?? []
    this.#asked.delete(key)
    for (const then of asked) then(name)
  }
}

/** The one that has been there longest makes room. */
function keep<T>(entries: Map<string, T>, key: string, entry: T): void {
  if (entries.size >= MAX_KEPT && !entries.has(key)) entries.delete(entries.keys().next().value!)
  entries.delete(key)
  entries.set(key, entry)
}
