import type { Identity } from '../../protocol/identity.js'
import { Timer, type Clock } from '../base/clock.js'
import { SOURCE, type Log, type LogLevel } from '../base/log.js'
import type { LastHeard } from '../os/last-heard.js'
import { errorText } from '../os/libc.js'
import { EDGE, READABLE, WRITABLE, type Pollable } from '../os/poller.js'
import type { Admission } from '../thread/admission.js'
import type { ActorSettings } from '../thread/settings.js'
import { shown } from '../base/peer-names.js'
import type { ThreadIo } from '../transport/polled.js'
import { TlsTransport } from '../tls/tls-transport.js'
import type { Transport, TransportHandler } from '../transport/transport.js'
import { TurnQueue, type Piece } from '../base/turn-queue.js'
import { ClientCheck } from '../tls/client-check.js'
import { RESULT, SecureChannel } from '../tls/secure-channel.js'
import { SecureContext } from '../tls/secure-context.js'
import type { TlsSettings } from '../tls/tls-settings.js'

export interface TlsAcceptorOwner {
  readonly io: ThreadIo
  readonly clock: Clock
  readonly lastHeard: LastHeard
  readonly settings: ActorSettings
  readonly log: Log
  /** The client is in: its session begins. If that fails, the connection ends, with its transport if that was made. */
  begin(admission: Admission, transport: (handler: TransportHandler) => Transport, identity: Identity): void
  /** The connection is closed and never became a session. */
  ended(admission: Admission, why: string): void
}

/** What tells a client that its certificate is accepted: the one byte before the first frame. */
const CONFIRMATION = Buffer.from([1])
/** What handshakes go by: replaced as a whole. */
interface Rules {
  readonly context: SecureContext
  readonly check: ClientCheck
  readonly verify: boolean
}

/** TLS handshakes of one thread's clients, and the decision whom to let in. */
export class TlsAcceptor {
  readonly #owner: TlsAcceptorOwner
  #rules: Rules | undefined
  /**
   * Steps of handshakes, one of each connection at a time. Some cost milliseconds: a crowd that comes all at once must
   * not keep the calls of others waiting.
   */
  readonly #steps = new TurnQueue()
  readonly #handshakes = new Map<number, Handshake>()

  constructor(owner: TlsAcceptorOwner) {
    this.#owner = owner
    if (owner.settings.tls !== undefined) this.use(owner.settings.tls)
  }

  /** New handshakes go by these settings; connections that are open stay. Throws, and changes nothing, for unusable ones. */
  use(settings: TlsSettings): void {
    const context = new SecureContext(settings.context)
    this.#rules?.context.free()
    this.#rules = { context, check: new ClientCheck(settings), verify: settings.verify }
  }

  /** Clients that are not through their handshake. */
  get admissions(): Admission[] {
    return [...this.#handshakes.values()].map(({ admission }) => admission)
  }

  get size(): number {
    return this.#handshakes.size
  }

  /** Takes over a connection whose descriptor is in the ledger. */
  accept(admission: Admission): void {
    const handshake = new Handshake(this.#owner, admission, {
      rules: () => this.#rules!,
      enqueue: () => this.#steps.add(handshake),
      over: () => this.#handshakes.delete(admission.id)
    })
    this.#handshakes.set(admission.id, handshake)
    handshake.start()
  }

  /** Closes a connection in its handshake. False if it is not here. */
  close(id: number, why: string): boolean {
    const handshake = this.#handshakes.get(id)
    handshake?.close(why, 'info')
    return handshake !== undefined
  }

  closeAll(why: string): void {
    for (const id of [...this.#handshakes.keys()]) this.close(id, why)
  }
}

/** What a handshake asks of its acceptor. */
interface Place {
  rules(): Rules
  /** The next step is to be done when it is this connection's turn. */
  enqueue(): void
  over(): void
}

/** One connection from its admission to the confirmation byte. */
class Handshake implements Pollable, Piece {
  readonly #owner: TlsAcceptorOwner
  readonly #place: Place
  readonly #deadline = new Timer({ session: this, timeUp: () => this.close('TLS handshake not done in time', 'warning') })
  #slot: number | undefined
  /** Made when the client has sent something. */
  #begun: { channel: SecureChannel; rules: Rules } | undefined
  #enqueued = false
  #closed = false

  constructor(
    owner: TlsAcceptorOwner,
    readonly admission: Admission,
    place: Place
  ) {
    this.#owner = owner
    this.#place = place
    const { firstFrameTimeoutMs } = owner.settings
    if (firstFrameTimeoutMs > 0) owner.clock.set(this.#deadline, firstFrameTimeoutMs)
  }

  start(): void {
    try {
      // Told once for each step: those that wait for their turn would crowd out everybody else at the poller.
      this.#slot = this.#owner.io.poller.add(this.admission.fd, READABLE | EDGE, this)
    } catch (error) {
      this.close((error as Error).message, 'error')
    }
  }

  ready(events: number): void {
    if (events & READABLE) this.#owner.lastHeard.hear(this.admission.fd)
    if (this.#enqueued) return
    if ((events & (READABLE | WRITABLE)) === 0) return this.#gone()
    this.#enqueued = true
    this.#place.enqueue()
  }

  step(): void {
    this.#enqueued = false
    // It may have been closed while it waited.
    if (this.#closed) return
    try {
      this.#goOn()
    } catch (error) {
      this.#owner.io.failed(this, error)
    }
  }

  close(why: string, level: LogLevel): void {
    if (this.#closed) return
    this.#tell(level, why)
    this.#leave()
    this.#begun?.channel.free()
    this.#owner.io.ledger.close(this.admission.fd)
    this.#owner.ended(this.admission, why)
  }

  #goOn(): void {
    const { fd } = this.admission
    const { channel } = (this.#begun ??= this.#begin())
    const result = channel.accept()
    if (result > 0) return this.#decide()
    if (result === RESULT.ended) return this.#gone()
    if (result === RESULT.failed) {
      const { errno, fault } = channel.failure!
      return this.close(`TLS handshake failed: ${fault ?? errorText(errno)}`, 'warning')
    }
    this.#owner.io.poller.change(this.#slot!, fd, (result === RESULT.wantWrite ? WRITABLE : READABLE) | EDGE)
  }

  #begin(): { channel: SecureChannel; rules: Rules } {
    const rules = this.#place.rules()
    return { rules, channel: new SecureChannel(rules.context, this.admission.fd) }
  }

  #gone(): void {
    this.close('connection closed during the TLS handshake', 'info')
  }

  /**
   * The decision is made at once, with all that it needs in memory: the client waits for nothing but the byte, and sends
   * nothing before it.
   */
  #decide(): void {
    const { channel } = this.#begun!
    const identity = this.#identify()
    if (identity === undefined) return this.#refuse()
    if (channel.writeBytes(CONFIRMATION) !== 1) return this.#gone()
    this.#leave()
    const { io } = this.#owner
    const { fd } = this.admission
    let transport: Transport | undefined
    this.#owner.begin(this.admission, handler => (transport = new TlsTransport(io, fd, channel, handler)), identity)
    if (transport === undefined) channel.free()
  }

  /** Whom the certificate makes the client, or undefined if it must go. */
  #identify(): Identity | undefined {
    const { channel, rules } = this.#begun!
    const { name, refusal, warnings } = rules.check.judge(channel)
    const who = name === undefined ? '' : ` (${shown(name)})`
    for (const warning of warnings) this.#tell('warning', `${warning}${who}`)
    if (refusal === undefined) return { x509DistinguishedName: name ?? '' }
    this.#tell('error', `${refusal}${who}`)
    // A name that nobody vouches for is not passed on.
    return rules.verify ? undefined : { x509DistinguishedName: '' }
  }

  #refuse(): void {
    this.close("authentication failed: Failed to verify peer's certificate", 'info')
  }

  #leave(): void {
    this.#closed = true
    const { clock, io } = this.#owner
    clock.cancel(this.#deadline)
    if (this.#slot !== undefined) io.poller.remove(this.#slot, this.admission.fd)
    this.#place.over()
  }

  #tell(level: LogLevel, message: string): void {
    const { id, peer } = this.admission
    this.#owner.log(level, SOURCE.tls, message, { client: { id, from: peer } })
  }
}
