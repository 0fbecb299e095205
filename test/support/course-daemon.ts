import { errorReply, rpcError, streamError, systemError, type RemoteError } from '#protocol/errors.js'
import { MESSAGE, PROGRAM, STATUS, readHeader } from '#protocol/header.js'
import { decodeCallbackId, encodeCallbackId } from '#protocol/messages/events.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { eventFrame } from '#protocol/messages/frames.js'
import { PONG_FRAME } from '#protocol/messages/keepalive.js'
import { streamData, streamFinish, type StreamId } from '#protocol/messages/streams.js'
import { KEEPALIVE, QEMU, REMOTE } from '#protocol/procedures.js'
import { Timer } from '#workers/base/clock.js'
import { Comebacks } from '#workers/driver/comebacks.js'
import { DriverConnection } from '#workers/driver/driver-connection.js'
import type { ConnectionServices } from '#workers/driver/connection-services.js'
import type { Way } from '#workers/driver/driver-sockets.js'
import type { DriverOpening, Drivers, OpenedDriver, OpenOrder } from '#workers/driver/drivers.js'
import { CourseBytes } from './course-bytes.js'
import { frame, type Frame } from './frame-socket.js'
import { MemoryTransport } from './memory-transport.js'
import type { Random } from './random.js'
import { openedBy, wayTo } from './shared-trial.js'

/** What a daemon has to open a connection, and to make registrations again. */
export const OPEN_MS = 4000
const ECONNREFUSED = 111
const ECONNRESET = 104
/** Longer than what is kept until it is whole. */
const LONG_BYTES = 1024 * 1024 + 1000

const { connectDomainEventCallbackRegisterAny: ON, connectDomainEventCallbackDeregisterAny: OFF } = REMOTE
export const STREAMS: readonly number[] = [REMOTE.domainOpenConsole, REMOTE.storageVolUpload]

/** Of a connection that is being opened. */
const OPENS: readonly number[] = [REMOTE.connectOpen, REMOTE.connectSetIdentity]

const isRegistration = ({ prog, proc }: Frame): boolean =>
  prog === PROGRAM.qemu ? proc === QEMU.connectDomainMonitorEventRegister : proc === ON

/** The daemon's end of one connection. */
export class CourseLink {
  readonly connection: DriverConnection
  readonly transport: MemoryTransport
  /** Calls that are not answered. */
  readonly calls: Frame[] = []
  readonly streams: StreamId[] = []
  /** Ids by which events are sent, and the program of each. */
  readonly ids = new Map<number, number>()
  /** It reads nothing and says nothing. */
  hangs = false
  /** Its process is dead, which nobody here has been told yet. */
  dead = false
  readonly out: CourseBytes

  constructor(
    readonly daemon: CourseDaemon,
    readonly random: Random,
    { user }: OpenOrder
  ) {
    let made: MemoryTransport | undefined
    this.connection = new DriverConnection(daemon.services, user, handler => (made = new MemoryTransport(handler)))
    this.transport = made!
    this.out = new CourseBytes(this.transport, random)
  }

  get closed(): boolean {
    return this.transport.closed
  }

  /** Takes what has come. */
  read(): void {
    if (this.dead || this.hangs || this.transport.slow) return
    for (const one of this.transport.take()) this.#take(one)
  }

  #take(one: Frame): void {
    if (one.prog === PROGRAM.keepalive) return one.proc === KEEPALIVE.ping ? this.send(PONG_FRAME) : undefined
    if (one.type === MESSAGE.stream) return this.#packet(one)
    if (one.proc === REMOTE.connectClose) this.send(frame({ ...readHeader(one.bytes), type: MESSAGE.reply }))
    else this.calls.push(one)
  }

  /** A client that ends a stream gets the word that it has. */
  #packet(packet: Frame): void {
    if (packet.status !== STATUS.continue && this.#ended(packet.serial)) this.send(streamFinish(packet))
  }

  #ended(serial: number): boolean {
    const at = this.streams.findIndex(stream => stream.serial === serial)
    if (at >= 0) this.streams.splice(at, 1)
    return at >= 0
  }

  /** Answers one of the calls. */
  answer(well = false): void {
    if (this.calls.length === 0) return
    const { random } = this
    const [call] = this.calls.splice(random.integer(0, this.calls.length - 1), 1)
    const { prog, proc, serial } = call!
    const refused = !well && !isRegistration(call!) && random.chance(OPENS.includes(proc) ? 0.02 : 0.1)
    if (refused) return this.send(errorReply(call!, this.#refusal(proc)))
    const reply = (payload?: Buffer): void => this.send(frame({ prog, proc, serial, type: MESSAGE.reply }, payload))
    if (STREAMS.includes(proc)) this.streams.push(call!)
    if (isRegistration(call!)) return reply(encodeCallbackId(this.#register(prog)))
    if (prog === PROGRAM.remote && proc === OFF) this.ids.delete(decodeCallbackId(call!.payload))
    reply(proc === REMOTE.domainGetXmlDesc && random.chance(0.3) ? Buffer.alloc(LONG_BYTES) : call!.payload)
  }

  #refusal(proc: number): RemoteError {
    const lost = proc === REMOTE.secretLookupByUuid && this.random.chance(0.5)
    // What it needs of another daemon is gone, or something else is wrong.
    return lost ? rpcError('client socket is closed') : systemError(2, 'no such thing')
  }

  #register(prog: number): number {
    const id = this.daemon.nextId++
    this.ids.set(id, prog)
    return id
  }

  /** One for each registration. */
  emit(): void {
    for (const [id, prog] of this.ids) {
      const proc = prog === PROGRAM.qemu ? QEMU.domainMonitorEvent : REMOTE.domainEventCallbackLifecycle
      this.send(eventFrame(proc, encodeCallbackId(id), prog))
    }
  }

  /** Something on a stream: data, or its failure. */
  stream(): void {
    if (this.streams.length === 0) return
    const stream = this.random.pick(this.streams)
    if (this.random.chance(0.7)) return this.send(streamData(stream, Buffer.alloc(this.random.integer(1, 3000))))
    this.#ended(stream.serial)
    this.send(streamError(stream.prog, stream.proc, stream.serial, systemError(28, 'no space left')))
  }

  send(bytes: Buffer): void {
    if (this.dead) return
    this.out.push(bytes)
    if (this.random.chance(0.6)) this.out.flush()
  }

  /** It says what no daemon says. */
  break(): void {
    this.send(frame({ proc: REMOTE.domainGetInfo, type: MESSAGE.reply, serial: 7_000_000 }))
  }

  /** Its end is seen, behind what came before if that is read. */
  tellDeath(): void {
    if (!this.transport.endExpected && this.random.chance(0.5)) {
      this.out.flush()
      if (!this.out.isEmpty) return
    }
    if (!this.transport.paused || this.transport.endExpected) this.transport.lose(this.random.pick([0, ECONNRESET]))
  }

  drain(): void {
    if (this.transport.slow) this.transport.drain()
  }
}

/** A driver daemon in memory that dies, comes back, is slow and hangs. All that happens to it is somebody else's decision. */
export class CourseDaemon implements Drivers {
  readonly comebacks = new Comebacks()
  links: CourseLink[] = []
  up = true
  nextId = 0

  constructor(
    readonly services: ConnectionServices,
    readonly random: Random
  ) {}

  find(name: string | undefined): Way {
    return wayTo(name)
  }

  open(order: OpenOrder): DriverOpening {
    if (!this.up) return { opened: Promise.reject(systemError(ECONNREFUSED, 'nobody listens')), abandon: () => undefined }
    const link = new CourseLink(this, this.random, order)
    this.links.push(link)
    return { opened: this.#shakeHands(link, order), abandon: () => link.connection.close() }
  }

  /** As the broker does it with a daemon that wants no authentication. */
  async #shakeHands({ connection }: CourseLink, { identity, way: { candidates: [candidate] } }: OpenOrder): Promise<OpenedDriver> {
    const { clock } = this.services
    const deadline = new Timer({ timeUp: () => connection.end(systemError(110, 'not opened in time')) })
    clock.set(deadline, OPEN_MS)
    try {
      await connection.call(REMOTE.connectOpen, encodeOpen({ name: candidate!.name, flags: 0 }))
      await connection.call(REMOTE.connectSetIdentity, Buffer.from(JSON.stringify(identity)))
      connection.opened()
    } catch (error) {
      connection.close()
      throw error
    } finally {
      clock.cancel(deadline)
    }
    return openedBy(connection, candidate!)
  }

  /** Its process dies. Who is connected hears of it one after the other. */
  die(): void {
    this.up = false
    for (const link of this.links) link.dead = true
  }

  /** Connections that are closed here are closed there. */
  forgetClosed(): void {
    this.links = this.links.filter(({ closed }) => !closed)
  }
}
