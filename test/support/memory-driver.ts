import { expect } from 'chai'
import { rpcError, type RemoteError } from '#protocol/errors.js'
import { DISPOSITION, type Disposition } from '#protocol/frame-reader.js'
import { frameLength, frameSerial, frameType, HEADER_BYTES, MESSAGE, readHeader, type Header } from '#protocol/header.js'
import { CLOSE_REASON } from '#protocol/messages/connect.js'
import { Comebacks } from '#workers/driver/comebacks.js'
import type { CallWriter, DriverPort, DriverUser } from '#workers/driver/driver-port.js'
import type { Candidate, Way } from '#workers/driver/driver-sockets.js'
import type { DriverOpening, Drivers, OpenedDriver, OpenOrder } from '#workers/driver/drivers.js'
import { frame, type Frame } from './frame-socket.js'

/** What kind of port a driver gives: one of its own for each session, or a part in one that several share. */
export type PortKind = 'own' | 'shared'

const SERIAL_AT = 20
const FIRST_SHARED_SERIAL = 0x7000_0000

/**
 * A port in memory, whose driver daemon is the test. As `shared` it wants each call whole before any of it goes out, and
 * gives it a serial of its own there.
 */
export class MemoryPort implements DriverPort, CallWriter {
  /** What has come from the session, with the serials of the driver's side. */
  readonly frames: Frame[] = []
  window = 4
  paused = false
  state: 'opening' | 'serving' | 'left' | 'closed' = 'opening'
  readonly spliceTarget = undefined
  /** Takes no more for now. */
  slow = false
  inPassedFrame = false
  #bytes = Buffer.alloc(0)
  #nextSerial = FIRST_SHARED_SERIAL
  /** The session's serials, by those of the driver's side. */
  readonly #serials = new Map<number, number>()

  constructor(
    readonly kind: PortKind,
    readonly user: DriverUser
  ) {}

  get writer(): CallWriter {
    return this
  }

  get out(): number {
    return this.#serials.size
  }

  begin(bytes: Buffer, at: number, whole: boolean): Disposition {
    if (whole) expect(at + frameLength(bytes, at), 'the end of what is whole').to.be.at.most(bytes.length)
    if (this.kind === 'shared' && !whole) return DISPOSITION.collect
    if (this.out >= this.window) return DISPOSITION.hold
    const serial = frameSerial(bytes, at)
    const there = this.kind === 'shared' ? this.#nextSerial++ : serial
    bytes.writeUInt32BE(there, at + SERIAL_AT)
    this.#serials.set(there, serial)
    return DISPOSITION.pass
  }

  relay(bytes: Buffer, from: number, to: number): boolean {
    this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(from, to)])
    while (this.#bytes.length >= HEADER_BYTES && this.#bytes.length >= frameLength(this.#bytes, 0)) {
      const length = frameLength(this.#bytes, 0)
      const one = this.#bytes.subarray(0, length)
      this.#bytes = this.#bytes.subarray(length)
      this.frames.push({ ...readHeader(one), payload: one.subarray(HEADER_BYTES), bytes: one })
    }
    return !this.slow
  }

  /** Bytes that have come and are no whole frame yet. */
  get partial(): number {
    return this.#bytes.length
  }

  relayWithDescriptors(): boolean {
    throw new Error('descriptors do not travel in memory')
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  leave(): void {
    if (this.state === 'serving') this.state = 'left'
  }

  close(): void {
    this.state = 'closed'
  }

  // The driver daemon

  /** The calls and packets since the last time. */
  take(): Frame[] {
    return this.frames.splice(0)
  }

  /** Answers a call. What the session made of the reply. */
  reply(call: Header, payload?: Buffer, header: Partial<Header> = {}): Disposition | undefined {
    const { prog, proc, serial } = call
    return this.send(frame({ prog, proc, serial, type: MESSAGE.reply, ...header }, payload))
  }

  /** Sends a whole frame, and says that all is judged. */
  send(bytes: Buffer): Disposition | undefined {
    const disposition = this.#judge(bytes)
    if (disposition === DISPOSITION.pass || disposition === DISPOSITION.split) this.user.replies.relay(bytes, 0, bytes.length)
    this.user.driverEvents.driverJudged()
    return disposition
  }

  #judge(bytes: Buffer): Disposition | undefined {
    const { judge } = this.user
    const type = frameType(bytes, 0)
    if (type === MESSAGE.event) {
      const found = judge.event(bytes, 0, false)
      return found === DISPOSITION.collect ? judge.event(bytes, 0, true) : found
    }
    const there = frameSerial(bytes, 0)
    const serial = this.#serials.get(there) ?? there
    bytes.writeUInt32BE(serial, SERIAL_AT)
    if (type !== MESSAGE.reply) return judge.streamPacket(bytes, 0)
    let found = judge.replied(bytes, 0, false)
    if (found === DISPOSITION.collect) found = judge.replied(bytes, 0, true)
    if (found === undefined) return judge.streamPacket(bytes, 0)
    this.#serials.delete(there)
    return found
  }

  lose(error: RemoteError = rpcError('gone'), cut = false): void {
    if (this.state !== 'serving') return
    this.state = 'closed'
    this.user.driverEvents.driverLost(this, error, CLOSE_REASON.endOfFile, cut)
  }
}

/** An opening that the test lets succeed or fail. */
export class MemoryOpening implements DriverOpening {
  readonly port: MemoryPort
  /** Own calls that wait for their answers. */
  readonly calls: { proc: number; args: Buffer; resolve: (body: Buffer) => void; reject: (error: Error) => void }[] = []
  abandoned = false
  /** Is called when the session has begun to use it. */
  served: () => void = () => undefined
  #resolve!: (opened: OpenedDriver) => void
  #reject!: (error: Error) => void
  readonly opened = new Promise<OpenedDriver>((resolve, reject) => {
    this.#resolve = resolve
    this.#reject = reject
  })

  constructor(
    kind: PortKind,
    readonly order: OpenOrder
  ) {
    this.port = new MemoryPort(kind, order.user)
  }

  abandon(): void {
    this.abandoned = true
    this.lose()
  }

  /** The daemon is gone. */
  lose(): void {
    this.port.state = 'closed'
    for (const { reject } of this.calls.splice(0)) reject(rpcError('client socket is closed'))
    this.#reject(rpcError('client socket is closed'))
  }

  fail(error: Error): void {
    this.#reject(error)
  }

  succeed(candidate: Candidate = { path: '/memory', named: true, name: 'test:///memory', uri: undefined }): void {
    const { port } = this
    this.#resolve({
      port,
      source: { get inPassedFrame() { return port.inPassedFrame }, cutAtFrameEnd: () => undefined },
      uri: 'test:///memory',
      candidate,
      call: (proc, args) => new Promise((resolve, reject) => this.calls.push({ proc, args, resolve, reject })),
      serve: () => {
        if (port.state !== 'opening') return false
        port.state = 'serving'
        this.served()
        return true
      }
    })
  }
}

/** Driver daemons in memory. */
export class MemoryDrivers implements Drivers {
  readonly comebacks = new Comebacks()
  readonly openings: MemoryOpening[] = []
  way: Way = { candidates: [], sought: undefined, starts: [] }

  constructor(readonly kind: PortKind) {}

  find(name: string | undefined): Way {
    if (name === 'nowhere:///') throw rpcError('leads nowhere')
    return this.way
  }

  open(order: OpenOrder): MemoryOpening {
    const opening = new MemoryOpening(this.kind, order)
    this.openings.push(opening)
    return opening
  }

  get last(): MemoryOpening {
    return this.openings.at(-1)!
  }
}
