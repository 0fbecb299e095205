import type { TLSSocket } from 'node:tls'
import { EIO } from '../os/libc.js'
import type { ThreadIo } from './polled.js'
import type { Transport, TransportHandler } from './transport.js'

/**
 * Encrypted bytes that may wait before the source is asked to pause. Node counts a write as done one turn later even if
 * the kernel took all of it, so a limit of none would stop and start the source all the time.
 */
const MAX_PENDING = 256 * 1024

/** A TLS connection whose handshake is through and whose client was accepted. Node owns its descriptor. */
export class TlsTransport implements Transport {
  readonly carriesDescriptors = false
  handler: TransportHandler
  readonly #socket: TLSSocket
  #closed = false

  constructor(io: ThreadIo, socket: TLSSocket, handler: TransportHandler) {
    this.#socket = socket
    this.handler = handler
    const guarded = (act: () => void): void => {
      if (this.#closed) return
      try {
        act()
      } catch (error) {
        io.failed(this.handler.session, error)
      }
    }
    socket.on('data', (chunk: Buffer) => guarded(() => this.handler.received(chunk, 0, chunk.length)))
    socket.on('drain', () => guarded(() => this.handler.drained()))
    socket.on('end', () => guarded(() => this.#lose(0)))
    socket.on('error', (error: NodeJS.ErrnoException) => guarded(() => this.#lose(Math.abs(error.errno ?? EIO))))
    socket.on('close', () => guarded(() => this.#lose(0)))
  }

  get pending(): number {
    return this.#socket.writableLength
  }

  get closed(): boolean {
    return this.#closed
  }

  send(bytes: Buffer, from: number, to: number): boolean {
    if (this.#closed) return true
    const socket = this.#socket
    const part = bytes.subarray(from, to)
    // A stream with nothing in its queue hands the bytes to OpenSSL before `write` returns, and they are used up there
    // (TLSWrap::DoWrite encrypts, or copies). Only what has to queue needs a copy.
    socket.write(socket.writableLength === 0 ? part : Buffer.from(part))
    return socket.writableLength < MAX_PENDING
  }

  sendDescriptors(): boolean {
    throw new Error('descriptors cannot travel over TLS')
  }

  pause(): void {
    if (!this.#closed) this.#socket.pause()
  }

  resume(): void {
    if (!this.#closed && !this.#socket.writableEnded) this.#socket.resume()
  }

  end(): void {
    if (this.#closed || this.#socket.writableEnded) return
    this.#socket.pause()
    this.#socket.end(() => {
      if (!this.#closed) this.#lose(0)
    })
  }

  destroy(): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket.destroy()
  }

  #lose(errno: number): void {
    const { handler } = this
    this.destroy()
    handler.lost({ errno })
  }
}
