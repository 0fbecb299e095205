import { Timer, type Clock, type Timed } from '../base/clock.js'
import { SOURCE, type About, type Log } from '../base/log.js'
import type { LogKind } from '../base/log-kinds.js'
import type { LastHeard } from '../os/last-heard.js'
import { setIntOption, SO_OOBINLINE, SOL_SOCKET } from '../os/libc.js'
import { SaslLayer } from '../sasl/sasl-layer.js'
import { ListenerKinds, type ListenerKind } from '../os/listener-kind.js'
import { logContextOf, NO_IDENTITY, type HandOver } from '../thread/client-record.js'
import { NO_DRIVER } from '../thread/metric-families.js'
import type { ActorSettings } from '../thread/settings.js'
import { PolledTransport } from '../transport/polled.js'
import type { ThreadIo } from '../transport/thread-io.js'
import type { Transport, TransportHandler } from '../transport/transport.js'
import { LEGAL, STEPS, type ArrivalState, type Step } from './arrival-state.js'
import type { ArrivalStep, Arrived, ArrivingClient, Found } from './arriving-client.js'
import { Newcomer } from './newcomer.js'

export interface ArrivalsOwner {
  readonly clock: Clock
  readonly io: ThreadIo
  readonly lastHeard: LastHeard
  /** As they are now. */
  settings(): ActorSettings
  readonly log: Log
  /** The client's session begins. If that fails, the connection ends, with its transport if that was made. */
  readonly begin: (arrived: Arrived) => void
  readonly supervisor: ArrivalNews
}

export interface ArrivalNews {
  /** The connection is closed and never became a session. */
  ended(id: number, why: string, kind: LogKind): void
  /** Its proxy has told where the client is: `address:port`. */
  cameFrom(id: number, peer: string): void
  /** From now on it counts as a client of this kind. */
  countsAs(id: number, listener: ListenerKind): void
}

/** What there is for each step. */
export type Steps = Partial<Record<Step, (client: ArrivingClient) => ArrivalStep>>

/** Connections after which the event loop turns: a flood of them is not to keep the calls of others waiting. */
const TAKEN_PER_TURN = 16

/** A proxy has its header ready when it connects. */
const PROXY_HEADER_MS = 3000

const TOO_LATE: Record<Step, string> = {
  proxy: 'PROXY header not sent in time',
  handshake: 'TLS handshake not done in time',
  identifying: 'names of user and group not found in time'
}

/** One thread's clients, from the hand-over of their descriptors until their sessions begin. */
export class Arrivals {
  readonly #owner: ArrivalsOwner
  readonly #steps: Steps
  readonly #all = new Map<number, Arrival>()
  /** Handed over and not taken up: of these the ledger says that they can be given to another thread. */
  readonly #waiting: Arrival[] = []
  readonly #listeners = new ListenerKinds()
  /** Taken up since the loop was last seen to turn. */
  #taken = 0
  /** Why nobody comes in any more. */
  #closed: string | undefined

  constructor(owner: ArrivalsOwner, steps: Steps) {
    this.#owner = owner
    this.#steps = steps
  }

  get size(): number {
    return this.#all.size
  }

  /** Takes over connections that the ledger says are given to this thread. */
  take(handOvers: readonly HandOver[]): void {
    for (const handOver of handOvers) {
      const arrival = new Arrival(this, this.#owner, handOver)
      this.#all.set(handOver.id, arrival)
      this.#waiting.push(arrival)
    }
    if (this.#closed !== undefined) this.closeAll(this.#closed)
    else this.#takeSome()
  }

  /** Closes a connection. False if it is not here. */
  close(id: number, why: string): boolean {
    const arrival = this.#all.get(id)
    if (arrival !== undefined) this.end(arrival, why, 'info')
    return arrival !== undefined
  }

  /** Closes all that are here, and all that come from now on, until `reopen`. */
  closeAll(why: string): void {
    this.#closed = why
    for (const id of [...this.#all.keys()]) this.close(id, why)
  }

  reopen(): void {
    this.#closed = undefined
  }

  // From the connections. What happens to them happens here and nowhere else.

  passed(arrival: Arrival, found: Found): void {
    arrival.step = undefined
    arrival.found = { ...arrival.found, ...found }
    if (found.listener !== undefined) this.#owner.supervisor.countsAs(arrival.handOver.id, found.listener)
    this.#goOn(arrival)
  }

  end(arrival: Arrival, why: string, kind: LogKind): void {
    const { state, step, handOver } = arrival
    const { io, supervisor } = this.#owner
    if (!arrival.become('closed')) return
    if (state === 'accepted') io.ledger.adopt(handOver.fd, io.owner)
    else arrival.log(kind, state === 'handshake' ? why : `closed: ${why}`, state)
    step?.stop()
    this.#leave(arrival)
    closeSocket(io, handOver)
    supervisor.ended(handOver.id, why, kind)
  }

  /** Messages come many in a turn, so it is not each of them that may bring so many. */
  #takeSome(): void {
    const taken = this.#waiting.splice(0, TAKEN_PER_TURN - this.#taken)
    if (taken.length === 0) return
    const { clock, io } = this.#owner
    for (const arrival of taken) {
      // It may have been closed while it waited.
      if (arrival.state !== 'accepted') continue
      io.ledger.adopt(arrival.handOver.fd, io.owner)
      arrival.takenAt = clock.now
      this.#goOn(arrival)
    }
    this.#taken += taken.length
    if (this.#taken < TAKEN_PER_TURN) return
    setImmediate(() => {
      this.#taken = 0
      this.#takeSome()
    })
  }

  #goOn(arrival: Arrival): void {
    const step = this.#next(arrival)
    const make = step && this.#steps[step]
    if (step === undefined || make === undefined) return this.#begin(arrival)
    if (!arrival.become(step)) return
    try {
      arrival.step = make(arrival)
      arrival.step.start()
    } catch (error) {
      this.#owner.io.failed(arrival, error)
    }
    if (arrival.state === step) this.#setDeadline(arrival, step)
  }

  #next({ state, handOver }: Arrival): Step | undefined {
    const steps = STEPS[handOver.listener.transport]
    const isDue = (step: Step): boolean => this.#steps[step] !== undefined && (step !== 'proxy' || handOver.via !== undefined)
    return steps.slice(steps.indexOf(state as Step) + 1).find(isDue)
  }

  /** One for all steps, from the moment at which the connection was taken up. */
  #setDeadline(arrival: Arrival, step: Step): void {
    const settings = this.#owner.settings()
    // Names are looked up by us; for the rest it is the client's turn, and clients speak at once.
    const ms = step === 'identifying' ? settings.loginTimeoutMs : settings.firstFrameTimeoutMs
    if (step === 'proxy') return this.#endAfter(arrival, Math.min(PROXY_HEADER_MS, ms || PROXY_HEADER_MS))
    if (ms > 0) this.#endAfter(arrival, ms)
  }

  #endAfter(arrival: Arrival, ms: number): void {
    const { clock } = this.#owner
    arrival.deadline ??= new Timer(arrival)
    clock.set(arrival.deadline, Math.max(1, ms - (clock.now - arrival.takenAt)))
  }

  #begin(arrival: Arrival): void {
    if (!arrival.become('begun')) return
    const { handOver, found, peer } = arrival
    const { id, since, via, fd } = handOver
    const listener = this.#listeners.one(found.listener ?? handOver.listener)
    const { io, lastHeard, begin, supervisor } = this.#owner
    this.#leave(arrival)
    let made: Transport | undefined
    let begun = false
    try {
      begin({
        record: {
          id, since, listener, peer, via,
          identity: found.identity ?? NO_IDENTITY,
          state: listener.auth === 'none' ? 'serving' : 'authenticating',
          driver: NO_DRIVER,
          opened: undefined
        },
        fd,
        newcomer: new Newcomer(lastHeard, fd, arrival.takenAt),
        failure: found.failure,
        transport: handler => {
          const plain = { fd, listener, sender: found.sender }
          return (made = found.secured?.transport(handler) ?? plainTransport(io, plain, handler))
        }
      })
      begun = made !== undefined
    } catch (error) {
      // No memory for one more in the kernel's tables, for instance.
      io.failed(undefined, error)
    }
    if (begun) return
    if (made === undefined) {
      found.secured?.free()
      closeSocket(io, handOver)
    } else made.destroy()
    supervisor.ended(id, 'internal failure', 'internal-failure')
  }

  #leave({ handOver, deadline }: Arrival): void {
    this.#all.delete(handOver.id)
    if (deadline !== undefined) this.#owner.clock.cancel(deadline)
  }
}

/** One of them. */
class Arrival implements ArrivingClient, Timed {
  state: ArrivalState = 'accepted'
  step: ArrivalStep | undefined
  found: Found = {}
  peer: string | undefined
  /** By the thread's clock. */
  takenAt = 0
  deadline: Timer | undefined
  readonly #about: About = () => logContextOf({ ...this.handOver, peer: this.peer, identity: this.found.identity ?? NO_IDENTITY })

  constructor(
    readonly arrivals: Arrivals,
    readonly owner: Pick<ArrivalsOwner, 'lastHeard' | 'log' | 'supervisor'>,
    readonly handOver: HandOver
  ) {
    this.peer = handOver.peer
  }

  get fd(): number {
    return this.handOver.fd
  }

  get listener(): ListenerKind {
    return this.handOver.listener
  }

  /** Whose a failure of its timer is. */
  get session(): this {
    return this
  }

  /** Moves on, or returns false where the table does not allow it. */
  become(state: ArrivalState): boolean {
    if (!LEGAL[this.state].includes(state)) return false
    this.state = state
    return true
  }

  heard(): void {
    this.owner.lastHeard.hear(this.fd)
  }

  cameFrom(peer: string): void {
    this.peer = peer
    this.owner.supervisor.cameFrom(this.handOver.id, peer)
  }

  log(kind: LogKind, message: string, state: ArrivalState = this.state): void {
    const source = state === 'handshake' ? SOURCE.tls : SOURCE.client
    this.owner.log(kind, source, message, this.#about)
  }

  passed(found: Found): void {
    this.arrivals.passed(this, found)
  }

  close(why: string, kind: LogKind): void {
    this.arrivals.end(this, why, kind)
  }

  timeUp(): void {
    this.close(TOO_LATE[this.state as Step], 'login-late')
  }
}

/** What lies unread in a UNIX socket is closed with it, and that can take any time. */
function closeSocket({ closer, ledger }: ThreadIo, { fd, listener }: HandOver): void {
  if (listener.transport === 'unix') closer.closeSocket(fd)
  else ledger.close(fd)
}

interface PlainSocket {
  readonly fd: number
  readonly listener: ListenerKind
  /** See Found. */
  readonly sender: number | undefined
}

function plainTransport(io: ThreadIo, { fd, listener, sender }: PlainSocket, handler: TransportHandler): Transport {
  // Left out of line, an urgent byte is dropped in the middle of a read, and descriptors that came with it.
  if (sender !== undefined) setIntOption(fd, SOL_SOCKET, SO_OOBINLINE, 1)
  const plain = (above: TransportHandler): Transport => new PolledTransport(io, fd, above, { sender })
  if (listener.transport !== 'tcp' || listener.auth !== 'sasl') return plain(handler)
  return new SaslLayer(plain, handler, error => io.failed(handler.session, error))
}
