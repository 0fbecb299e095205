import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeAuthList } from '#protocol/messages/auth.js'
import { encodeSupported } from '#protocol/messages/connect.js'
import { decodeCallbackId, encodeCallbackId, REGISTRATIONS } from '#protocol/messages/events.js'
import { eventFrame } from '#protocol/messages/frames.js'
import { streamData, streamFinish } from '#protocol/messages/streams.js'
import { REMOTE } from '#protocol/procedures.js'
import type { Cleanup } from './cleanup.js'
import { FrameSocket, type Frame } from './frame-socket.js'
import { pattern } from './pattern.js'

const MAX_HEARD = 20
const EMPTY = Buffer.alloc(0)
const ID_FORMS = REGISTRATIONS.filter(({ form }) => form === 'byId').map(({ register }) => register)
const { connectDomainEventCallbackRegisterAny: HEARD, connectDomainEventCallbackDeregisterAny: HEARD_NO_MORE } = REMOTE

/** What a client wants of a download: the arguments of the call that opens it. The last word are the flags. */
export function downloadArguments(packets: number, size: number, flags = 0): Buffer {
  const words = Buffer.alloc(12)
  words.writeUInt32BE(packets, 0)
  words.writeUInt32BE(size, 4)
  words.writeUInt32BE(flags, 8)
  return words
}

/** What the daemon sends then as packet `index`. */
export const downloadPacket = (size: number, index: number): Buffer => pattern(size, index)

/**
 * A driver daemon for thousands of connections: it answers everything at once, keeps no record, and has streams and
 * events. Every call that it does not know is answered with its own payload.
 */
export class AnsweringDriver {
  readonly connections = new Set<AnsweringConnection>()
  calls = 0

  private constructor(
    readonly path: string,
    readonly server: Server
  ) {}

  static async listen(cleanup: Cleanup, path: string): Promise<AnsweringDriver> {
    const server = createServer(socket => {
      const connection = new AnsweringConnection(driver, socket)
      driver.connections.add(connection)
      socket.on('close', () => driver.connections.delete(connection))
    })
    const driver = new AnsweringDriver(path, server)
    cleanup.defer(() => driver.stop())
    await driver.start()
    return driver
  }

  async start(): Promise<void> {
    this.server.listen({ path: this.path, backlog: 1000 })
    await once(this.server, 'listening')
  }

  /** The daemon's process dies: connections and socket file are gone. `start` makes it come back. */
  async stop(): Promise<void> {
    for (const connection of this.connections) connection.destroy()
    if (!this.server.listening) return
    this.server.close()
    await once(this.server, 'close')
  }

  /** One event for every registration that has an id. */
  emitEvents(): void {
    for (const connection of this.connections) connection.emitEvents()
  }
}

class AnsweringConnection extends FrameSocket {
  readonly #registered = new Set<number>()
  #ids = 0

  constructor(
    readonly driver: AnsweringDriver,
    socket: Socket
  ) {
    super(socket)
  }

  protected override deliver(arrived: Frame): void {
    if (arrived.type === MESSAGE.call || arrived.type === MESSAGE.callWithFds) return this.#call(arrived)
    if (arrived.type === MESSAGE.stream && arrived.status !== STATUS.continue) this.write(streamFinish(arrived))
    super.deliver(arrived)
    this.inbox.length = 0
  }

  emitEvents(): void {
    for (const id of this.#registered) {
      this.write(eventFrame(REMOTE.domainEventCallbackLifecycle, Buffer.concat([encodeCallbackId(id), pattern(24, id)])))
    }
  }

  #call(call: Frame): void {
    this.driver.calls++
    switch (call.proc) {
      case REMOTE.authList:
        return this.#reply(call, encodeAuthList([0]))
      case REMOTE.connectSupportsFeature:
        return this.#reply(call, encodeSupported(true))
      case REMOTE.connectOpen:
      case REMOTE.connectSetIdentity:
      case REMOTE.storageVolUpload:
        return this.#reply(call, EMPTY)
      case REMOTE.storageVolDownload:
        return this.#download(call)
      case HEARD_NO_MORE:
        if (call.payload.length >= 4) this.#registered.delete(decodeCallbackId(call.payload))
        return this.#reply(call, EMPTY)
      default:
        return this.#reply(call, ID_FORMS.includes(call.proc) ? this.#register(call.proc) : call.payload)
    }
  }

  #reply({ prog, proc, serial }: Frame, payload: Uint8Array): void {
    this.send({ prog, proc, serial, type: MESSAGE.reply }, payload)
  }

  #register(proc: number): Buffer {
    const id = this.#ids++
    // There are events for some, or ten thousand registrations would drown the test itself.
    const heard = proc === HEARD && this.#registered.size < MAX_HEARD
    if (heard) this.#registered.add(id)
    return encodeCallbackId(id)
  }

  #download(call: Frame): void {
    this.#reply(call, EMPTY)
    const sane = call.payload.length === 12
    const packets = sane ? Math.min(call.payload.readUInt32BE(0), 64) : 1
    const size = sane ? Math.min(call.payload.readUInt32BE(4), 262_120) : 100
    for (let index = 0; index < packets; index++) this.write(streamData(call, downloadPacket(size, index)))
    this.write(streamData(call, EMPTY))
  }
}
