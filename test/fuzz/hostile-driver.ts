import { openSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { HEADER_BYTES, MESSAGE, PROGRAM, STATUS, type Header } from '#protocol/header.js'
import { encodeAuthList } from '#protocol/messages/auth.js'
import { encodeSupported } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { sendDescriptor } from '#workers/transport/descriptors.js'
import type { Cleanup } from '../support/cleanup.js'
import { frame, FrameSocket, ping, pong, type Frame } from '../support/frame-socket.js'
import type { Random } from '../support/random.js'
import { FrameCount } from './frame-count.js'

type Deed = (connection: HostileConnection, call: Frame, random: Random) => void

const ILLEGAL_LENGTHS = [0, 4, 27, 33_554_437, 0xffffffff]
const nothing = openSync('/dev/null', 'r')

const repeat = (count: number, make: (index: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, index) => make(index)))

const replyTo = ({ prog, proc, serial }: Header, payload?: Uint8Array, other: Partial<Header> = {}): Buffer =>
  frame({ prog, proc, serial, type: MESSAGE.reply, ...other }, payload)

const deeds: Record<string, Deed> = {
  'a good reply': (connection, call, random) => connection.write(replyTo(call, random.bytes(40))),
  'no reply': () => undefined,
  'two replies': (connection, call) => connection.write(replyTo(call), replyTo(call)),
  'a reply to nobody': (connection, call, random) => connection.write(replyTo(call, undefined, { serial: random.integer(1e6, 2e6) })),
  'a reply of another procedure': (connection, call, random) =>
    connection.write(replyTo(call, undefined, { proc: random.integer(0, 500) })),
  'a reply of another program': (connection, call) => connection.write(replyTo(call, undefined, { prog: 0x20008087, vers: 3 })),
  'a reply with any status': (connection, call, random) =>
    connection.write(replyTo(call, random.bytes(8), { status: random.integer(-1, 4) })),
  'an error that cannot be decoded': (connection, call, random) =>
    connection.write(replyTo(call, random.bytes(random.integer(0, 100)), { status: STATUS.error })),
  'a call of its own': (connection, call, random) => connection.write(frame({ ...call, type: MESSAGE.call, serial: random.integer(0, 9) })),
  'a frame of no type': (connection, call, random) => connection.write(frame({ ...call, type: random.integer(7, 1000) })),
  'a reply with descriptors': (connection, call, random) => {
    const count = Buffer.alloc(4)
    count.writeUInt32BE(random.pick([0, 1, 3, 32, 33, 0xffffffff]))
    connection.write(replyTo(call, count, { type: MESSAGE.replyWithFds }))
    if (random.chance(0.7)) connection.passDescriptors(random.integer(1, 4))
  },
  'descriptors where none belong': (connection, _call, random) => connection.passDescriptors(random.integer(1, 40)),
  'a flood of events': (connection, call, random) => {
    connection.write(repeat(random.integer(1, 2000), () => frame({ proc: 318, type: MESSAGE.event, serial: 1 }, random.bytes(24))))
    connection.write(replyTo(call))
  },
  'stream packets for nobody': (connection, call, random) => {
    connection.write(repeat(random.integer(1, 500), () => frame({
      proc: random.pick([call.proc, REMOTE.storageVolDownload]),
      serial: random.integer(0, 100),
      type: random.pick([MESSAGE.stream, MESSAGE.streamHole]),
      status: random.integer(0, 2)
    }, random.bytes(random.integer(0, 60)))))
    connection.write(replyTo(call))
  },
  'a storm of pings': (connection, call, random) => {
    connection.write(repeat(random.integer(1, 3000), () => (random.chance(0.9) ? ping() : pong())))
    connection.write(replyTo(call))
  },
  'a storm of pings whose answers it does not read': (connection, _call, random) => {
    connection.stall()
    connection.write(repeat(random.integer(10_000, 40_000), () => ping()))
  },
  'a length that cannot be': (connection, call, random) => {
    const bytes = replyTo(call, random.bytes(20))
    bytes.writeUInt32BE(random.pick(ILLEGAL_LENGTHS), 0)
    connection.write(bytes)
  },
  'half a reply': (connection, call, random) => {
    const bytes = replyTo(call, random.bytes(300))
    connection.write(bytes.subarray(0, random.integer(1, bytes.length - 1)))
  },
  'half a reply, and the end': (connection, call, random) => {
    const bytes = replyTo(call, random.bytes(300))
    connection.write(bytes.subarray(0, random.integer(1, bytes.length - 1)))
    connection.socket.end()
  },
  'a giant reply': (connection, call, random) => connection.write(replyTo(call, Buffer.alloc(random.integer(1e6, 9e6)))),
  'a reply that announces too much': (connection, call, random) => {
    const bytes = replyTo(call, Buffer.alloc(random.integer(0, 100_000)))
    bytes.writeUInt32BE(33_554_436, 0)
    connection.write(bytes)
  },
  'half a stream packet, and perhaps the rest later': (connection, call, random) => {
    const { proc, serial } = call
    const header = { proc, serial, type: MESSAGE.stream, status: STATUS.continue }
    const packet = frame(header, random.bytes(random.integer(0, random.pick([30, 300_000]))))
    const cut = random.integer(1, packet.length - 1)
    connection.write(replyTo(call), packet.subarray(0, cut))
    if (random.chance(0.5)) setTimeout(() => connection.write(packet.subarray(cut)), random.integer(0, 30))
  },
  noise: (connection, _call, random) => connection.write(random.bytes(random.integer(1, 2000))),
  'a changed reply': (connection, call, random) => {
    const bytes = replyTo(call, random.bytes(20))
    bytes[random.integer(0, HEADER_BYTES - 1)] = random.integer(0, 255)
    connection.write(bytes)
  },
  'the end': connection => connection.destroy()
}

export const DEEDS = Object.keys(deeds)

/** A driver daemon that has been taken over: what it does with a call is left to chance. */
export class HostileDriver {
  readonly connections = new Set<HostileConnection>()
  readonly frames = new FrameCount()
  /** How often each deed was done. */
  readonly done = new Map<string, number>()
  /** The deeds since it was last emptied, for the message of a failure. */
  course: string[] = []

  private constructor(
    readonly random: Random,
    readonly server: Server
  ) {}

  static async listen(cleanup: Cleanup, path: string, random: Random): Promise<HostileDriver> {
    const server = createServer(socket => {
      const connection = new HostileConnection(driver, socket, random.fork())
      driver.connections.add(connection)
      driver.frames.watch(connection)
      socket.on('close', () => driver.connections.delete(connection))
    })
    const driver = new HostileDriver(random, server)
    server.listen({ path, backlog: 1000 })
    cleanup.defer(async () => {
      driver.hangUp()
      server.close()
      await once(server, 'close')
    })
    await once(server, 'listening')
    return driver
  }

  hangUp(): void {
    for (const connection of this.connections) connection.destroy()
  }
}

class HostileConnection extends FrameSocket {
  readonly #cooperates: boolean

  constructor(
    readonly driver: HostileDriver,
    socket: Socket,
    readonly random: Random
  ) {
    super(socket)
    this.#cooperates = random.chance(0.9)
    this.answerPings = random.chance(0.9)
  }

  passDescriptors(count: number): void {
    const fd = (this.socket as unknown as { _handle?: { fd: number } })._handle?.fd
    for (let i = 0; i < count && fd !== undefined && fd >= 0; i++) sendDescriptor(fd, nothing)
  }

  protected override deliver(arrived: Frame): void {
    super.deliver(arrived)
    this.inbox.length = 0
    if (arrived.prog === PROGRAM.keepalive) return
    // Mostly it lets itself be opened, or nothing would ever come to it.
    const polite = this.#cooperates && this.#greeting(arrived)
    if (!polite && arrived.type === MESSAGE.call) this.#misbehave(arrived)
  }

  #greeting(call: Frame): boolean {
    const answers = new Map<number, Buffer>([
      [REMOTE.authList, encodeAuthList([0])],
      [REMOTE.connectSupportsFeature, encodeSupported(true)],
      [REMOTE.connectOpen, Buffer.alloc(0)],
      [REMOTE.connectSetIdentity, Buffer.alloc(0)]
    ])
    const answer = answers.get(call.proc)
    if (answer !== undefined) this.write(replyTo(call, answer))
    return answer !== undefined
  }

  #misbehave(call: Frame): void {
    const { course, done } = this.driver
    const name = this.random.chance(0.4) ? DEEDS[0]! : this.random.pick(DEEDS)
    course.push(name)
    done.set(name, (done.get(name) ?? 0) + 1)
    deeds[name]!(this, call, this.random)
  }
}
