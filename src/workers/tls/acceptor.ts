import type { Identity } from '../../protocol/identity.js'
import { Timer, type Clock } from '../clock.js'
import { FAILED, HUNG_UP, READABLE, WRITABLE, type Pollable } from '../os/poller.js'
import { SOURCE, type Log, type LogLevel } from '../log.js'
import type { LastHeard } from '../os/last-heard.js'
import type { ActorSettings, Admission } from '../settings.js'
import type { ThreadIo } from '../transport/polled.js'
import { TlsTransport } from '../transport/tls.js'
import type { Transport, TransportHandler } from '../transport/transport.js'
import { ClientCheck } from './client-check.js'
import { RESULT, SecureChannel } from './secure-channel.js'
import { SecureContext } from './secure-context.js'
import type { LeastStrength } from './strength.js'
import type { TlsSettings } from './tls-settings.js'

export interface TlsAcceptorOwner {
  readonly io: ThreadIo
  readonly clock: Clock
  readonly lastHeard: LastHeard
  readonly settings: ActorSettings
  readonly log: Log
  /** The client is in: its session begins. */
  begin(admission: Admission, transport: (handler: TransportHandler) => Transport, identity: Identity): void
  /** The connection is closed and never became a session. */
  ended(admission: Admission, why: string): void
}

/** What tells a client that its certificate is accepted: the one byte before the first frame. */
const CONFIRMATION = Buffer.from([1])
/**
 * Handshakes begun in one turn of the event loop. One costs about a millisecond of this thread: a crowd that comes all
 * at once must not keep the calls of others waiting.
 */
const STARTS_PER_TURN = 4

/** What handshakes go by: replaced as a whole. */
interface Rules {
  readonly context: SecureContext
  readonly check: ClientCheck
  readonly verify: boolean
  readonly least: LeastStrength
}

/** TLS handshakes of one thread's clients, and the decision whom to let in. */
export class TlsAcceptor {
  readonly #owner: TlsAcceptorOwner
  #rules: Rules | undefined
  #waiting: Handshake[] = []
  readonly #handshakes = new Map<number, Handshake>()

  constructor(owner: TlsAcceptorOwner) {
    this.#owner = owner
    if (owner.settings.tls !== undefined) this.use(owner.settings.tls)
  }

  /** New handshakes go by these settings; connections that are open stay. Throws, and changes nothing, for unusable ones. */
  use(settings: TlsSettings): void {
    const context = new SecureContext(settings.context)
    this.#rules?.context.free()
    this.#rules = { context, check: new ClientCheck(settings), verify: settings.verify, least: settings.least }
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
    const handshake = new Handshake(this.#owner, admission, () => this.#handshakes.delete(admission.id))
    this.#handshakes.set(admission.id, handshake)
    if (this.#waiting.push(handshake) === 1) setImmediate(() => this.#startSome())
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

  #startSome(): void {
    for (const handshake of this.#waiting.splice(0, STARTS_PER_TURN)) handshake.start(this.#rules!)
    if (this.#waiting.length > 0) setImmediate(() => this.#startSome())
  }
}

/** One connection from its admission to the confirmation byte. */
class Handshake implements Pollable {
  readonly #owner: TlsAcceptorOwner
  readonly #over: () => void
  readonly #deadline = new Timer({ session: this, timeUp: () => this.close('TLS handshake not done in time', 'warning') })
  #started: { channel: SecureChannel; slot: number; rules: Rules; interest: number } | undefined
  #closed = false

  constructor(
    owner: TlsAcceptorOwner,
    readonly admission: Admission,
    over: () => void
  ) {
    this.#owner = owner
    this.#over = over
    const { firstFrameTimeoutMs } = owner.settings
    if (firstFrameTimeoutMs > 0) owner.clock.set(this.#deadline, firstFrameTimeoutMs)
  }

  start(rules: Rules): void {
    // It may have been closed while it waited.
    if (this.#closed) return
    const { fd } = this.admission
    const { io } = this.#owner
    try {
      const channel = new SecureChannel(rules.context, fd)
      this.#started = { channel, rules, interest: READABLE, slot: io.poller.add(fd, READABLE, this) }
    } catch (error) {
      this.close((error as Error).message, 'error')
    }
  }

  ready(events: number): void {
    if (events & READABLE) this.#owner.lastHeard.hear(this.admission.fd)
    try {
      if (events & (READABLE | WRITABLE)) this.#goOn()
      else if (events & (FAILED | HUNG_UP)) this.#gone()
    } catch (error) {
      this.#owner.io.failed(this, error)
    }
  }

  close(why: string, level: LogLevel): void {
    if (this.#closed) return
    this.#tell(level, why)
    this.#leave()
    this.#started?.channel.free()
    this.#owner.io.ledger.close(this.admission.fd)
    this.#owner.ended(this.admission, why)
  }

  #goOn(): void {
    const { channel, interest, slot } = this.#started!
    const result = channel.accept()
    if (result > 0) return this.#decide()
    if (result === RESULT.ended) return this.#gone()
    if (result === RESULT.failed) return this.close(`TLS handshake failed: ${channel.failure!.reason}`, 'warning')
    const wanted = result === RESULT.wantWrite ? WRITABLE : READABLE
    if (wanted === interest) return
    this.#started!.interest = wanted
    this.#owner.io.poller.change(slot, this.admission.fd, wanted)
  }

  #gone(): void {
    this.close('connection closed during the TLS handshake', 'info')
  }

  /**
   * The decision is made at once, with all that it needs in memory: the client waits for nothing but the byte, and sends
   * nothing before it.
   */
  #decide(): void {
    const { channel } = this.#started!
    const identity = this.#identify()
    if (identity === undefined) return this.#refuse()
    if (channel.writeBytes(CONFIRMATION) !== 1) return this.#gone()
    this.#leave()
    const { io } = this.#owner
    const { fd } = this.admission
    this.#owner.begin(this.admission, handler => new TlsTransport(io, fd, channel, handler), identity)
  }

  /** Whom the certificate makes the client, or undefined if it must go. */
  #identify(): Identity | undefined {
    const { channel, rules } = this.#started!
    const certificates = channel.peerCertificates()
    const { name, refusal, warnings } = rules.check.judge({ certificates, verification: channel.verification(rules.least) })
    const who = name === undefined ? '' : ` (${name})`
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
    if (this.#started !== undefined) io.poller.remove(this.#started.slot, this.admission.fd)
    this.#over()
  }

  #tell(level: LogLevel, message: string): void {
    const { id, peer } = this.admission
    this.#owner.log(level, SOURCE.tls, message, { client: { id, from: peer } })
  }
}
