import { connect, type Socket } from 'node:net'
import { decodeError } from '../../protocol/errors.js'
import { encodeFrame, frameLength, HEADER_BYTES, MESSAGE, PROGRAM_VERSION, readHeader, STATUS } from '../../protocol/header.js'
import { BROKER_PROGRAM, decodeJson, encodeJson } from '../../protocol/messages/broker-admin.js'

/** Nobody listens there, or who does closes the connection: the broker does that to other users. */
export class Unreachable extends Error {
  override name = 'Unreachable'
}

/** The answer is an error. */
export class Refused extends Error {
  override name = 'Refused'
}

/** Longer than anything that is asked for takes, a reload for instance. */
const PATIENCE_MS = 60_000
/** Longer than any answer is. */
const MAX_REPLY_BYTES = 1024 * 1024

interface Waiting {
  readonly resolve: (reply: Buffer) => void
  readonly reject: (error: Unreachable) => void
}

/** A connection to an admin socket, for calls of the broker's own program, one after the other. */
export class AdminLink {
  #socket: Socket | undefined
  #come = Buffer.alloc(0)
  #waiting: Waiting | undefined

  constructor(readonly path: string) {}

  /** Resolves with the result. Rejects with Unreachable or Refused. */
  async call(proc: number, args: unknown = {}): Promise<unknown> {
    const header = { prog: BROKER_PROGRAM, vers: PROGRAM_VERSION, proc, type: MESSAGE.call, serial: 0, status: STATUS.ok }
    const reply = await this.#exchange(encodeFrame(header, encodeJson(args)))
    const body = reply.subarray(HEADER_BYTES)
    if (readHeader(reply, 0).status === STATUS.ok) return decodeJson(body)
    const { message } = decodeError(body)
    throw new Refused(/^Cannot find program/.test(message) ? `'${this.path}' is not the admin socket of a virtbrokerd` : message)
  }

  close(): void {
    this.#socket?.destroy()
  }

  #exchange(call: Buffer): Promise<Buffer> {
    const socket = (this.#socket ??= this.#connect())
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      socket.write(call)
    })
  }

  #connect(): Socket {
    const socket = connect({ path: this.path })
    // One that has been given up may still say something.
    const failed = (why: string): void => {
      if (socket === this.#socket) this.#fail(why)
    }
    socket.setTimeout(PATIENCE_MS, () => failed('no answer'))
    socket.once('error', error => failed(error.message))
    socket.once('close', () => failed('the connection was closed: only root and the user of the broker are let in'))
    socket.on('data', bytes => this.#read(bytes))
    return socket
  }

  #read(bytes: Buffer): void {
    this.#come = Buffer.concat([this.#come, bytes])
    if (this.#come.length < HEADER_BYTES) return
    const length = frameLength(this.#come, 0)
    if (length < HEADER_BYTES || length > MAX_REPLY_BYTES) return this.#fail('this is no answer')
    if (this.#come.length < length) return
    const reply = this.#come.subarray(0, length)
    this.#come = this.#come.subarray(length)
    this.#waiting?.resolve(reply)
    this.#waiting = undefined
  }

  #fail(why: string): void {
    this.#waiting?.reject(new Unreachable(`'${this.path}': ${why}`))
    this.#waiting = undefined
    this.#socket?.destroy()
    this.#socket = undefined
    this.#come = Buffer.alloc(0)
  }
}
