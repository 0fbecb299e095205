import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { errorReply, streamError, type RemoteError } from '#protocol/errors.js'
import { MESSAGE, PROGRAM, STATUS, type Header } from '#protocol/header.js'
import { decodeSetIdentity, type Identity } from '#protocol/identity.js'
import { encodeAuthList } from '#protocol/messages/auth.js'
import { encodeSupported } from '#protocol/messages/connect.js'
import { eventFrame } from '#protocol/messages/frames.js'
import { streamData, streamFinish } from '#protocol/messages/streams.js'
import { REMOTE } from '#protocol/procedures.js'
import type { Cleanup } from './cleanup.js'
import { FrameSocket, type Frame, type Match } from './frame-socket.js'
import type { RawClient } from './raw-client.js'
import { waitFor } from './waiting.js'

/** What a daemon does with a call: gives the reply's payload or an error, or undefined: nothing for now. */
export type Answer = (call: Frame, connection: DriverConnection) => Uint8Array | RemoteError | undefined

const EMPTY = Buffer.alloc(0)
/** A call that no test makes itself, under a serial that none uses. */
const PROBE = REMOTE.nodeGetCpuMap
const PROBE_SERIAL = 0x7abcdef0

/** Every call is answered with its own payload, but for those of the handshake. */
const echo: Answer = call => call.payload

/** A driver daemon that does what the test says, in the test's own process. */
export class FakeDriver {
  readonly connections: DriverConnection[] = []
  readonly #answers = new Map<number, Answer>([
    [REMOTE.authList, () => encodeAuthList([0])],
    [REMOTE.connectSupportsFeature, () => encodeSupported(true)],
    [REMOTE.connectOpen, () => EMPTY],
    [REMOTE.connectSetIdentity, () => EMPTY]
  ])
  /** For every call without an answer of its own. */
  otherwise: Answer = echo

  private constructor(
    readonly path: string,
    readonly server: Server
  ) {}

  static async listen(cleanup: Cleanup, path: string): Promise<FakeDriver> {
    const server = createServer(socket => driver.#accept(socket))
    const driver = new FakeDriver(path, server)
    server.listen(path)
    cleanup.defer(() => driver.stop())
    await once(server, 'listening')
    return driver
  }

  on(proc: number, answer: Answer): this {
    this.#answers.set(proc, answer)
    return this
  }

  /** The connection that was made last. */
  get latest(): DriverConnection {
    const last = this.connections.at(-1)
    if (last === undefined) throw new Error('nobody has connected to the driver daemon')
    return last
  }

  /** As whom connections were opened, in order: those that several clients share are opened once. */
  get identities(): Identity[] {
    const calls = this.connections.flatMap(connection => connection.calls)
    return calls.filter(({ proc }) => proc === REMOTE.connectSetIdentity).map(({ payload }) => decodeSetIdentity(payload))
  }

  /** Waits for one more connection than there are now. */
  nextConnection(): Promise<DriverConnection> {
    const known = this.connections.length
    const next = waitFor('a connection to the driver daemon', () => this.connections[known])
    // Whoever waits for it sees the error; nobody waiting must not end the test process.
    next.catch(() => undefined)
    return next
  }

  /**
   * By which the calls of a client come that has opened a name here. Who does so after others of its identity shares their
   * connections: a call shows which.
   */
  async connectionOf(client: RawClient): Promise<DriverConnection> {
    let found: DriverConnection | undefined
    this.on(PROBE, (_call, connection) => {
      found = connection
      connection.calls.pop()
      return EMPTY
    })
    await client.call(PROBE, undefined, { serial: PROBE_SERIAL })
    if (found === undefined) throw new Error('a call came to nobody')
    return found
  }

  /** A call that comes, or has come, and is not answered yet, and the connection by which it came. */
  taken(wanted: Match, payload?: Buffer): Promise<{ call: Frame; daemon: DriverConnection }> {
    return waitFor(`a call like ${JSON.stringify(wanted)}`, () => {
      for (const daemon of this.connections.filter(({ closed }) => !closed)) {
        const call = daemon.take(wanted, payload)
        if (call !== undefined) return { call, daemon }
      }
      return undefined
    })
  }

  /** The daemon ends: connections and socket file are gone. */
  async stop(): Promise<void> {
    for (const connection of this.connections) connection.destroy()
    if (!this.server.listening) return
    this.server.close()
    await once(this.server, 'close')
  }

  #accept(socket: Socket): void {
    this.connections.push(new DriverConnection(socket, ({ prog, proc }) =>
      (prog === PROGRAM.remote && this.#answers.get(proc)) || this.otherwise))
  }
}

/** One client's connection at the fake daemon. Calls are recorded, and stay in `inbox` when they are not answered. */
export class DriverConnection extends FrameSocket {
  /** Every call that came, in order. */
  readonly calls: Frame[] = []

  constructor(
    socket: Socket,
    readonly answerTo: (call: Frame) => Answer
  ) {
    super(socket)
  }

  protected override deliver(arrived: Frame): void {
    if (arrived.type !== MESSAGE.call) return super.deliver(arrived)
    this.calls.push(arrived)
    const answer = this.answerTo(arrived)(arrived, this)
    if (answer === undefined) super.deliver(arrived)
    else if (answer instanceof Error) this.write(errorReply(arrived, answer))
    else this.reply(arrived, answer)
  }

  reply(call: Header, payload?: Uint8Array): void {
    const { prog, proc, serial } = call
    this.send({ prog, proc, serial, type: MESSAGE.reply }, payload)
  }

  fail(call: Header, error: RemoteError): void {
    this.write(errorReply(call, error))
  }

  event(proc: number, payload?: Uint8Array, prog?: number): void {
    this.write(eventFrame(proc, payload, prog))
  }

  data(call: Header, bytes: Uint8Array): void {
    this.write(streamData(call, bytes))
  }

  /** Confirms the client's finish or abort. */
  confirm(call: Header): void {
    this.write(streamFinish(call))
  }

  breakStream({ prog, proc, serial }: Header, error: RemoteError): void {
    this.write(streamError(prog, proc, serial, error))
  }

  /** The serials of the calls of one procedure that came, in order. */
  serialsOf(proc: number): number[] {
    return this.calls.filter(call => call.proc === proc).map(call => call.serial)
  }
}

/** Whether a frame is stream data with bytes in it. */
export const isData = (arrived: Frame): boolean =>
  arrived.type === MESSAGE.stream && arrived.status === STATUS.continue && arrived.payload.length > 0
