import net from 'node:net'
import { EIO, errorText } from '../os/libc.js'
import { DbusError, encodeCall, TYPE, type Incoming, type MethodCall } from './dbus-message.js'
import { MessageReader } from './message-reader.js'

export const DEFAULT_BUS = 'unix:path=/run/dbus/system_bus_socket'

/** The bus cannot be reached, or has hung up. */
export class BusLost extends Error {}

/** A service answered with an error. */
export class ServiceError extends Error {
  constructor(
    readonly errorName: string,
    message: string
  ) {
    super(message)
  }
}

/** A line of the handshake is shorter than this; more than that without an end of line is no bus. */
const MAX_LINE_BYTES = 4096
/** What is read in one turn of the loop: whoever floods us costs the thread's clients no more than that each time. */
const READ_BYTES = 64 * 1024
const HELLO: MethodCall = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  member: 'Hello'
}

interface Pending {
  resolve: (reply: Incoming) => void
  reject: (error: Error) => void
}

/**
 * One connection to a message bus, good for calls and their replies. Its end rejects what is pending with BusLost, and
 * it is then of no use any more: `SystemBus` makes a new one.
 */
class BusConnection {
  readonly #socket: net.Socket
  readonly #pending = new Map<number, Pending>()
  readonly #messages = new MessageReader(reply => this.#replied(reply))
  /** What has come of a line of the handshake; undefined when that is through. */
  #line: string | undefined = ''
  /** Calls made before the handshake is through. */
  #waiting: Buffer[] | undefined = []
  #serial = 0
  alive = true

  constructor(path: string) {
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    this.#socket = net.connect({ path, onread: { buffer, callback: count => this.#read(buffer.subarray(0, count)) } })
    // A bus connection must not keep a thread alive that is told to end.
    this.#socket.unref()
    const uid = Buffer.from(String(process.geteuid!())).toString('hex')
    this.#socket.on('connect', () => this.#socket.write(`\0AUTH EXTERNAL ${uid}\r\n`))
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#lost(`Could not connect: ${errorText(-(error.errno ?? -EIO))}`)
    })
    this.#socket.on('close', () => this.#lost('The connection is closed'))
    this.call(HELLO).catch((error: Error) => this.#lost(error.message))
  }

  /** Rejects with BusLost or ServiceError. */
  call(call: MethodCall): Promise<Incoming> {
    const serial = ++this.#serial
    return new Promise((resolve, reject) => {
      if (!this.alive) return reject(new BusLost('The connection is closed'))
      if (call.noReply !== true) this.#pending.set(serial, { resolve, reject })
      const message = encodeCall(call, serial)
      if (this.#waiting !== undefined) this.#waiting.push(message)
      else this.#socket.write(message)
    })
  }

  close(): void {
    this.#lost('The connection is closed')
  }

  #lost(why: string): void {
    if (!this.alive) return
    this.alive = false
    this.#socket.destroy()
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    for (const { reject } of pending) reject(new BusLost(why))
  }

  /** Returns whether to read on in this turn. */
  #read(bytes: Buffer): boolean {
    if (!this.alive) return false
    try {
      if (this.#line === undefined) this.#messages.push(bytes)
      else this.#handshake(this.#line + bytes.toString('latin1'))
    } catch (error) {
      // Whatever it is, it must not cost the thread.
      this.#lost(`the bus does not speak D-Bus: ${(error as Error).message}`)
    }
    if (bytes.length < READ_BYTES) return true
    setImmediate(() => this.alive && this.#socket.resume())
    return false
  }

  /** The bus says `OK` to our uid, which it has seen on the socket; from then on it is messages. */
  #handshake(received: string): void {
    const end = received.indexOf('\r\n')
    if (end < 0 && received.length > MAX_LINE_BYTES) throw new DbusError('endless line in the handshake')
    this.#line = received
    if (end < 0) return
    if (!received.startsWith('OK')) throw new DbusError(`the bus refuses us: ${received.slice(0, end)}`)
    this.#line = undefined
    this.#socket.write(Buffer.concat([Buffer.from('BEGIN\r\n'), ...(this.#waiting ?? [])]))
    this.#waiting = undefined
    this.#messages.push(Buffer.from(received.slice(end + 2), 'latin1'))
  }

  #replied(message: Incoming): void {
    const { type, replySerial } = message
    const pending = replySerial === undefined ? undefined : this.#pending.get(replySerial)
    if (pending === undefined) return
    this.#pending.delete(replySerial!)
    if (type === TYPE.methodReturn) return pending.resolve(message)
    const text = message.signature.startsWith('s') ? message.body.string() : ''
    pending.reject(new ServiceError(message.errorName ?? '', text))
  }
}

/** The system bus: connected at the first call, and anew at the first call after it was lost. */
export class SystemBus {
  #connection: BusConnection | undefined

  /** `address`: as in DBUS_SYSTEM_BUS_ADDRESS; of several, the first that is a UNIX socket. */
  constructor(readonly address: string) {}

  /** Rejects with BusLost or ServiceError. Throws nothing. */
  async call(call: MethodCall): Promise<Incoming> {
    if (this.#connection?.alive !== true) this.#connection = new BusConnection(socketPath(this.address))
    return this.#connection.call(call)
  }

  close(): void {
    this.#connection?.close()
    this.#connection = undefined
  }
}

/** `unix:path=/run/x,guid=…` or `unix:abstract=name`, with `%2c` and the like for odd bytes. Throws BusLost. */
export function socketPath(address: string): string {
  for (const one of address.split(';')) {
    const [transport, rest = ''] = one.split(/:(.*)/s)
    if (transport !== 'unix') continue
    const parameters = new Map(rest.split(',').map(pair => pair.split(/=(.*)/s, 2) as [string, string]))
    const value = (name: string): string | undefined => {
      const text = parameters.get(name)
      return text === undefined ? undefined : decodeURIComponent(text)
    }
    const abstract = value('abstract')
    const path = abstract === undefined ? value('path') : `\0${abstract}`
    if (path !== undefined) return path
  }
  throw new BusLost(`Unknown or unsupported transport in address “${address}”`)
}
