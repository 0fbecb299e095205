import net from 'node:net'
import tls, { type TLSSocket } from 'node:tls'
import { constants } from 'node:crypto'
import type { Identity } from '../../protocol/identity.js'
import type { ActorSettings, Admission, Log } from '../settings.js'
import { TlsTransport } from '../transport/tls.js'
import type { ThreadIo } from '../transport/polled.js'
import type { Transport, TransportHandler } from '../transport/transport.js'
import { ClientCheck } from './client-check.js'
import type { TlsSettings } from './tls-settings.js'

export interface TlsAcceptorOwner {
  readonly io: ThreadIo
  readonly settings: ActorSettings
  readonly log: Log
  /** The client is in: its session begins. */
  begin(admission: Admission, transport: (handler: TransportHandler) => Transport, identity: Identity): void
  /** The connection is closed and never became a session. */
  ended(admission: Admission, why: string): void
}

/** What tells a client that its certificate is accepted (virNetServerClient's confirmation). */
const CONFIRMATION = Buffer.from([1])
/**
 * Handshakes begun in one turn of the event loop. One costs about a millisecond of this thread: a crowd that comes all
 * at once must not keep the calls of others waiting.
 */
const STARTS_PER_TURN = 4
/** The longest that Node's timers know. */
const NEVER_MS = 2 ** 31 - 1

interface Handshake {
  readonly admission: Admission
  readonly socket: net.Socket
  /** Why it came to nothing. */
  why: string
}

/**
 * TLS handshakes of one thread's clients. A `tls.Server` that never listens does them: it is given each connection, and
 * clients come out of it with a decision made about their certificate. That decision and the confirmation byte must
 * be in time for the flight of packets that ends the handshake: session tickets go out right after, and a GnuTLS
 * client that finds one of those instead of the byte gives up.
 */
export class TlsAcceptor {
  readonly #owner: TlsAcceptorOwner
  #server: tls.Server | undefined
  #check: ClientCheck | undefined
  #verify = true
  #waiting: Admission[] = []
  /** By the addresses of both ends, which is all that connection and TLS socket have in common. */
  readonly #handshakes = new Map<string, Handshake>()

  constructor(owner: TlsAcceptorOwner) {
    this.#owner = owner
    if (owner.settings.tls !== undefined) this.use(owner.settings.tls)
  }

  /** New handshakes go by these settings; connections that are open stay. Throws, and changes nothing, for unusable ones. */
  use(settings: TlsSettings): void {
    const check = new ClientCheck(settings)
    const { ticketKeys, ...context } = settings.context
    const server = tls.createServer({
      ...context,
      ticketKeys: Buffer.from(ticketKeys),
      sessionIdContext: 'virtbroker',
      // Refused clients must be heard out, or their names would not be known.
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: this.#owner.settings.loginTimeoutMs || NEVER_MS,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION
    })
    server.on('secureConnection', socket => this.#secured(socket))
    server.on('tlsClientError', (error, socket) => {
      const handshake = this.#handshakes.get(ends(socket))
      if (handshake !== undefined) handshake.why = `TLS handshake failed: ${reason(error)}`
      socket.destroy()
    })
    this.#server = server
    this.#check = check
    this.#verify = settings.verify
  }

  /** Clients that are not through their handshake. */
  get admissions(): Admission[] {
    return [...this.#waiting, ...[...this.#handshakes.values()].map(({ admission }) => admission)]
  }

  get size(): number {
    return this.#waiting.length + this.#handshakes.size
  }

  /** Takes over a connection whose descriptor is in the ledger. */
  accept(admission: Admission): void {
    if (this.#waiting.push(admission) === 1) setImmediate(() => this.#startSome())
  }

  /** Closes a connection in its handshake. False if it is not here. */
  close(id: number, why: string): boolean {
    const waiting = this.#waiting.findIndex(admission => admission.id === id)
    if (waiting >= 0) {
      const [admission] = this.#waiting.splice(waiting, 1)
      this.#owner.io.ledger.close(admission!.fd)
      this.#owner.ended(admission!, why)
      return true
    }
    for (const handshake of this.#handshakes.values()) {
      if (handshake.admission.id !== id) continue
      handshake.why = why
      handshake.socket.destroy()
      return true
    }
    return false
  }

  closeAll(why: string): void {
    for (const { id } of this.admissions) this.close(id, why)
  }

  #startSome(): void {
    for (const admission of this.#waiting.splice(0, STARTS_PER_TURN)) this.#start(admission)
    if (this.#waiting.length > 0) setImmediate(() => this.#startSome())
  }

  #start(admission: Admission): void {
    const { io } = this.#owner
    let socket: net.Socket
    try {
      socket = new net.Socket({ fd: admission.fd, readable: true, writable: true })
    } catch (error) {
      io.ledger.close(admission.fd)
      return this.#owner.ended(admission, (error as Error).message)
    }
    // From here on the descriptor is Node's, which closes it, also when this thread dies.
    io.ledger.release(admission.fd)
    const key = ends(socket)
    const handshake: Handshake = { admission, socket, why: 'connection closed during the TLS handshake' }
    this.#handshakes.set(key, handshake)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      // A session that has begun is not here any more, and its addresses may be in use again.
      if (this.#handshakes.get(key) !== handshake) return
      this.#handshakes.delete(key)
      this.#tell('warning', admission, handshake.why)
      this.#owner.ended(admission, handshake.why)
    })
    this.#server!.emit('connection', socket)
  }

  #secured(socket: TLSSocket): void {
    const key = ends(socket)
    const handshake = this.#handshakes.get(key)
    if (handshake === undefined) return void socket.destroy()
    this.#handshakes.delete(key)
    const { admission } = handshake
    const identity = this.#identify(socket, admission)
    if (identity === undefined) {
      socket.destroy()
      return this.#owner.ended(admission, "authentication failed: Failed to verify peer's certificate")
    }
    socket.write(CONFIRMATION)
    this.#owner.begin(admission, handler => new TlsTransport(this.#owner.io, socket, handler), identity)
  }

  /** Whom the certificate makes the client, or undefined if it must go. */
  #identify(socket: TLSSocket, admission: Admission): Identity | undefined {
    const error = socket.authorizationError as unknown as string | undefined
    const verdict = this.#check!.judge({ leaf: socket.getPeerX509Certificate(), error: error ?? undefined })
    const who = verdict.name === undefined ? '' : ` (${verdict.name})`
    for (const warning of verdict.warnings) this.#tell('warning', admission, `${warning}${who}`)
    if (verdict.refusal === undefined) return { x509DistinguishedName: verdict.name ?? '' }
    this.#tell('error', admission, `${verdict.refusal}${who}`)
    // A name that nobody vouches for is not passed on.
    return this.#verify ? undefined : { x509DistinguishedName: '' }
  }

  #tell(level: 'warning' | 'error', { id, peer }: Admission, message: string): void {
    this.#owner.log(level, 'rpc.nettlscontext', `client ${id} at ${peer ?? 'an unknown address'}: ${message}`)
  }
}

const ends = ({ remoteAddress, remotePort, localAddress, localPort }: net.Socket): string =>
  `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`

/** OpenSSL's own words, without the places in its source that Node puts around them. */
function reason(error: Error & { reason?: string }): string {
  return error.reason ?? error.message
}
