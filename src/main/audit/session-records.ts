import { Few } from '../../workers/base/few.js'
import { sessionLine, type SessionEvent, type Subject } from '../../workers/observe/audit-record.js'
import type { AuditProduct } from '../../workers/thread/audit.js'
import type { Identity } from '../../protocol/identity.js'
import { NO_IDENTITY, type ClientRecord } from '../../workers/thread/client-record.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'
import type { ClientWatcher } from '../clients/admitted-clients.js'

const WINDOW_MS = 60_000
/** Of each listener, about clients that are not in: of them there can be any number. The rest is told together. */
const STRANGERS_A_WINDOW = 60

/** Failures of strangers at one listener. */
interface Strangers {
  readonly few: Few
  /** Until the rest is told. */
  timer: NodeJS.Timeout | undefined
}

/** Tells of logins, of what was refused before them, and of ends: each client by the record that the supervisor has of it. */
export class SessionRecords implements ClientWatcher {
  readonly #product: AuditProduct
  readonly #write: (line: string) => void
  readonly #in = new WeakSet<ClientRecord>()
  readonly #refused = new WeakSet<ClientRecord>()
  readonly #strangers = new Map<ListenerKind, Strangers>()

  constructor(product: AuditProduct, write: (line: string) => void) {
    this.#product = product
    this.#write = write
  }

  /** They were in before anybody told of it. */
  wereIn(clients: Iterable<ClientRecord>): void {
    for (const client of clients) this.#in.add(client)
  }

  isIn(client: ClientRecord): void {
    if (this.#in.has(client)) return
    this.#in.add(client)
    const time = client.listener.auth === 'none' ? client.since : Date.now()
    this.#tell(client, { activity: 'logon', failed: false, why: undefined, time })
  }

  loginRefused(client: ClientRecord, why: string): void {
    this.#refused.add(client)
    this.#failed(client, why)
  }

  ended(client: ClientRecord, why: string): void {
    const time = Date.now()
    if (this.#in.has(client)) this.#tell(client, { activity: 'logoff', failed: false, why, time, duration: time - client.since })
    else if (!this.#refused.has(client)) this.#failed(client, why)
  }

  turnedAway(listener: ListenerKind, peer: string | undefined, why: string, identity: Identity = NO_IDENTITY): void {
    this.#failed({ id: undefined, since: Date.now(), listener, peer, via: undefined, identity }, why)
  }

  /** Nothing more will come. */
  end(): void {
    for (const [listener, strangers] of this.#strangers) this.#tellRest(listener, strangers)
  }

  #failed(client: Subject, why: string): void {
    const { listener } = client
    const strangers = this.#strangersAt(listener)
    const now = performance.now()
    if (strangers.few.left(now) === 0) this.#tellRest(listener, strangers)
    if (strangers.few.lets(now)) return this.#tell(client, { activity: 'logon', failed: true, why, time: Date.now() })
    strangers.timer ??= setTimeout(() => this.#tellRest(listener, strangers), strangers.few.left(now)).unref()
  }

  #strangersAt(listener: ListenerKind): Strangers {
    let strangers = this.#strangers.get(listener)
    if (strangers === undefined) {
      strangers = { few: new Few(STRANGERS_A_WINDOW, WINDOW_MS), timer: undefined }
      this.#strangers.set(listener, strangers)
    }
    return strangers
  }

  #tellRest(listener: ListenerKind, strangers: Strangers): void {
    clearTimeout(strangers.timer)
    strangers.timer = undefined
    const count = strangers.few.takeRest()
    if (count === 0) return
    const nobody = { id: undefined, since: 0, listener, peer: undefined, via: undefined, identity: NO_IDENTITY }
    const why = 'more clients that did not come in, told together'
    this.#tell(nobody, { activity: 'logon', failed: true, why, time: Date.now(), count })
  }

  #tell(client: Subject, event: SessionEvent): void {
    this.#write(sessionLine(this.#product, client, event))
  }
}
