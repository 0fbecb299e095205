import net from 'node:net'
import { EIO, errorText } from '../os/libc.js'
import {
  DbusError,
  decodeMessage,
  encodeCall,
  messageLength,
  TYPE,
  type Incoming,
  type MethodCall
} from './dbus-message.js'

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
  #received: Buffer = Buffer.alloc(0)
  #handshaken = false
  /** Calls made before the handshake is through. */
  #waiting: Buffer[] | undefined = []
  #serial = 0
  alive = true

  constructor(path: string) {
    this.#socket = net.connect(path)
    // A bus connection must not keep a thread alive that is told to end.
    this.#socket.unref()
    const uid = Buffer.from(String(process.geteuid!())).toString('hex')
    this.#socket.on('connect', () => this.#socket.write(`\0AUTH EXTERNAL ${uid}\r\n`))
    this.#socket.on('data', bytes => this.#data(bytes))
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

  #data(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes])
    try {
      if (!this.#handshaken && !this.#handshake()) return
      this.#messages()
    } catch (error) {
      // Whatever it is, it must not cost the thread.
      this.#lost(`the bus does not speak D-Bus: ${(error as Error).message}`)
    }
  }

  /** The bus says `OK` to our uid, which it has seen on the socket; from then on it is messages. */
  #handshake(): boolean {
    const end = this.#received.indexOf('\r\n')
    if (end < 0) {
      if (this.#received.length > MAX_LINE_BYTES) throw new DbusError('endless line in the handshake')
      return false
    }
    const line = this.#received.toString('latin1', 0, end)
    this.#received = this.#received.subarray(end + 2)
    if (!line.startsWith('OK')) throw new DbusError(`the bus refuses us: ${line}`)
    this.#handshaken = true
    this.#socket.write(Buffer.concat([Buffer.from('BEGIN\r\n'), ...(this.#waiting ?? [])]))
    this.#waiting = undefined
    return true
  }

  #messages(): void {
    let at = 0
    for (;;) {
      const length = messageLength(this.#received, at)
      if (length === undefined || this.#received.length - at < length) break
      this.#message(decodeMessage(this.#received.subarray(at, at + length)))
      at += length
    }
    this.#received = this.#received.subarray(at)
  }

  /** Signals and calls are nothing to us. */
  #message(message: Incoming): void {
    const { type, replySerial } = message
    if (replySerial === undefined) return
    const pending = this.#pending.get(replySerial)
    if (pending === undefined) return
    this.#pending.delete(replySerial)
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
