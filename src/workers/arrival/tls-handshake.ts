import { TurnQueue, type Piece } from '../base/turn-queue.js'
import { errorText } from '../os/libc.js'
import { EDGE, READABLE, WRITABLE, type Pollable } from '../os/poller.js'
import { ClientCheck, CONFIRMATION } from '../tls/client-check.js'
import { RESULT, SecureChannel } from '../tls/secure-channel.js'
import { SecureContext } from '../tls/secure-context.js'
import type { TlsSettings } from '../tls/tls-settings.js'
import { TlsTransport } from '../tls/tls-transport.js'
import type { Counters } from '../thread/counters.js'
import { FAMILIES, HANDSHAKE_OUTCOMES, REFUSALS, TLS_VERSIONS, type HandshakeOutcome } from '../thread/metric-families.js'
import { WHY } from '../thread/why.js'
import type { ThreadIo } from '../transport/thread-io.js'
import type { ArrivalStep, ArrivingClient } from './arriving-client.js'
import { certified } from './certified.js'

/** What handshakes go by: replaced as a whole. */
interface Rules {
  readonly context: SecureContext
  readonly check: ClientCheck
  readonly verify: boolean
}

/** TLS handshakes of one thread's clients, and the decision whom to let in. */
export class TlsHandshakes {
  readonly #io: ThreadIo
  readonly #counters: Counters
  #rules: Rules | undefined
  /**
   * Steps of handshakes, one of each connection at a time. Some cost milliseconds: a crowd that comes all at once must
   * not keep the calls of others waiting.
   */
  readonly #steps = new TurnQueue()

  constructor(io: ThreadIo, counters: Counters) {
    this.#io = io
    this.#counters = counters
  }

  /** New handshakes go by these settings; connections that are open stay. Throws, and changes nothing, for unusable ones. */
  use(settings: TlsSettings): void {
    const context = new SecureContext(settings.context)
    this.#rules?.context.free()
    this.#rules = { context, check: new ClientCheck(settings), verify: settings.verify }
  }

  readonly handshake = (client: ArrivingClient): ArrivalStep => {
    const handshake: Handshake = new Handshake(this.#io, client, {
      rules: () => this.#rules!,
      enqueue: () => this.#steps.add(handshake),
      counters: this.#counters
    })
    return handshake
  }
}

/** What a handshake asks of those of its thread. */
interface Place {
  rules(): Rules
  /** The next step is to be done when it is this connection's turn. */
  enqueue(): void
  readonly counters: Counters
}

/** One connection until its confirmation byte is out. */
class Handshake implements ArrivalStep, Pollable, Piece {
  readonly #io: ThreadIo
  readonly #client: ArrivingClient
  readonly #place: Place
  #slot: number | undefined
  /** Made when the client has sent something. */
  #begun: { channel: SecureChannel; rules: Rules } | undefined
  #enqueued = false
  #over = false
  readonly #beganAt = performance.now()
  #outcome: HandshakeOutcome = 'cut_off'

  constructor(io: ThreadIo, client: ArrivingClient, place: Place) {
    this.#io = io
    this.#client = client
    this.#place = place
  }

  start(): void {
    try {
      // Told once for each step: those that wait for their turn would crowd out everybody else at the poller.
      this.#slot = this.#io.poller.add(this.#client.fd, READABLE | EDGE, this)
    } catch (error) {
      this.#client.close((error as Error).message, 'internal-failure')
    }
  }

  stop(): void {
    this.#leave()
    this.#count()
    this.#begun?.channel.free()
  }

  ready(events: number): void {
    if (events & READABLE) this.#client.heard()
    if (this.#enqueued) return
    if ((events & (READABLE | WRITABLE)) === 0) return this.#gone()
    this.#enqueued = true
    this.#place.enqueue()
  }

  step(): void {
    this.#enqueued = false
    // It may have been closed while it waited.
    if (this.#over) return
    try {
      this.#goOn()
    } catch (error) {
      this.#io.failed(this.#client, error)
    }
  }

  #goOn(): void {
    const { fd } = this.#client
    const { channel } = (this.#begun ??= this.#begin())
    const result = channel.accept()
    if (result > 0) return this.#decide()
    if (result === RESULT.ended) return this.#gone()
    if (result === RESULT.failed) {
      const { errno, fault } = channel.failure!
      this.#outcome = 'failed'
      return this.#client.close(`TLS handshake failed: ${fault ?? errorText(errno)}`, 'tls-handshake-failed')
    }
    this.#io.poller.change(this.#slot!, fd, (result === RESULT.wantWrite ? WRITABLE : READABLE) | EDGE)
  }

  #begin(): { channel: SecureChannel; rules: Rules } {
    const rules = this.#place.rules()
    return { rules, channel: new SecureChannel(rules.context, this.#client.fd) }
  }

  #gone(): void {
    this.#outcome = 'gone'
    this.#client.close('connection closed during the TLS handshake', 'info')
  }

  /**
   * The decision is made at once, with all that it needs in memory: the client waits for nothing but the byte, and sends
   * nothing before it.
   */
  #decide(): void {
    const { channel, rules } = this.#begun!
    const found = certified(this.#client, rules.check.judge(channel))
    if ('refusal' in found && rules.verify) return this.#refuse(found.refusal)
    // A name that nobody vouches for is not passed on.
    const identity = 'identity' in found ? found.identity : { x509DistinguishedName: '' }
    if (channel.writeBytes(CONFIRMATION) !== 1) return this.#gone()
    this.#leave()
    this.#outcome = 'ok'
    this.#count()
    const io = this.#io
    const { fd } = this.#client
    this.#client.passed({
      identity,
      secured: { transport: handler => new TlsTransport(io, fd, channel, handler), free: () => channel.free() }
    })
  }

  #refuse(why: string): void {
    this.#outcome = 'refused'
    this.#place.counters.add(FAMILIES.refusals, 1, REFUSALS.indexOf('tls'))
    this.#client.close(`${WHY.certificate}: ${why}`, 'info')
  }

  #count(): void {
    const { counters } = this.#place
    // Of one that is not done it is not settled.
    const done = this.#outcome === 'ok' || this.#outcome === 'refused'
    const version = TLS_VERSIONS.find(known => done && known === this.#begun?.channel.protection.version) ?? 'unknown'
    const known = TLS_VERSIONS.indexOf(version)
    counters.add(FAMILIES.handshakes, 1, known, HANDSHAKE_OUTCOMES.indexOf(this.#outcome))
    if (this.#outcome === 'ok') counters.observe(FAMILIES.handshakeTime, Math.round(1000 * (performance.now() - this.#beganAt)), known)
  }

  #leave(): void {
    this.#over = true
    if (this.#slot !== undefined) this.#io.poller.remove(this.#slot, this.#client.fd)
  }
}
