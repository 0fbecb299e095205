import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { DbusWriter, encodeCall, type Incoming } from '#workers/polkit/dbus-message.js'
import { MessageReader } from '#workers/polkit/message-reader.js'
import type { Cleanup } from './cleanup.js'

const BUS = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus' }

/** A stranger on a bus, who may send to everybody there what he likes. */
export class BusClient {
  #serial = 0
  readonly #pending = new Map<number, (reply: Incoming) => void>()

  private constructor(readonly socket: Socket) {
    const reader = new MessageReader(reply => this.#pending.get(reply.replySerial!)?.(reply))
    socket.on('data', bytes => reader.push(bytes))
    socket.on('error', () => undefined)
  }

  static async connect(cleanup: Cleanup, path: string): Promise<BusClient> {
    const socket = connect(path)
    cleanup.defer(() => Promise.resolve(socket.destroy()))
    await once(socket, 'connect')
    socket.write(`\0AUTH EXTERNAL ${Buffer.from(String(process.getuid!())).toString('hex')}\r\n`)
    await once(socket, 'data')
    socket.write('BEGIN\r\n')
    const client = new BusClient(socket)
    await client.#call('Hello')
    return client
  }

  /** The names of the connections that a process has to the bus. */
  async connectionsOf(pid: number): Promise<string[]> {
    const { body } = await this.#call('ListNames')
    const names = body.array(4, reader => reader.string()).filter(name => name.startsWith(':'))
    const owners = await Promise.all(names.map(async name => {
      const argument = new DbusWriter().string(name).finish()
      return (await this.#call('GetConnectionUnixProcessID', 's', argument)).body.u32()
    }))
    return names.filter((_, i) => owners[i] === pid)
  }

  /** A signal, or a method call, to one connection, with an argument of so many bytes. */
  shout(to: string, type: 'signal' | 'call', length: number): void {
    const [path, name] = ['/x', 'x.y']
    const body = new DbusWriter().string('x'.repeat(length)).finish()
    const message = encodeCall({ destination: to, path, interface: name, member: 'Z', signature: 's', body, noReply: true }, ++this.#serial)
    if (type === 'signal') message[1] = 4
    this.socket.write(message)
  }

  #call(member: string, signature?: string, body?: Buffer): Promise<Incoming> {
    const serial = ++this.#serial
    const call = { ...BUS, member, ...(signature !== undefined && { signature, body: body! }) }
    return new Promise(resolve => {
      this.#pending.set(serial, resolve)
      this.socket.write(encodeCall(call, serial))
    })
  }
}

/** Shouts without an end, as fast as the bus takes it, until `stop` is called. Gives how often it was done. */
export function flood(client: BusClient, names: readonly string[], type: 'signal' | 'call', length: number) {
  const { socket } = client
  let stopped = false
  let count = 0
  const shout = (): void => {
    while (!stopped && !socket.destroyed && socket.writableLength < 4 * 1024 * 1024) {
      for (const name of names) client.shout(name, type, length)
      count += names.length
    }
  }
  socket.on('drain', shout)
  shout()
  return {
    get count(): number { return count },
    stop: (): void => { stopped = true }
  }
}
