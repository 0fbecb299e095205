import { CODE, DOMAIN, RemoteError, streamError } from '../../protocol/errors.js'
import { encodeFrame, MESSAGE, PROGRAM_VERSION, STATUS, type Header } from '../../protocol/header.js'
import { XdrReader, XdrWriter } from '../../protocol/xdr.js'
import type { Link } from './link.js'

/** What the server has to send next: bytes, a hole of so many bytes, the end; or nothing for now. */
export type Supply = Buffer | { hole: bigint } | 'end' | undefined

/** The server's end of an open stream. All of these may throw RemoteError, which breaks the stream. */
export interface StreamEnd {
  /** Bytes from the client, valid during the call only. Absent if the stream takes none. */
  take?(bytes: Buffer): void
  /** A hole in what the client sends: absent unless the call asked for a sparse stream. */
  skip?(length: bigint): void
  /** Something to send to the client. Asked again and again while the link takes it, and after each `take`. */
  supply?(): Supply
  /** The client has finished in order; the confirmation waits for this. */
  finish?(): void
  /** The stream is over, in whatever way. Called once. */
  over?(): void
}

/** The largest packet that libvirt sends (`VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX`), in bytes. */
export const MAX_CHUNK = 262_120

interface OpenStream {
  readonly end: StreamEnd
  readonly prog: number
  readonly proc: number
  done: boolean
}

/** The open streams of one client, by the serial of the call that opened each. */
export class Streams {
  readonly #open = new Map<number, OpenStream>()
  constructor(readonly link: Pick<Link, 'send' | 'congested'>) {}

  /** `call`: the header of the call that opens it. */
  add({ prog, proc, serial }: Header, end: StreamEnd): void {
    this.#open.set(serial, { end, prog, proc, done: false })
  }

  /** A STREAM or STREAM_HOLE frame; one for a serial without a stream is dropped, as by libvirt. */
  received(header: Header, payload: Buffer): void {
    const stream = this.#open.get(header.serial)
    if (!stream) return
    try {
      this.#handle(stream.end, header, payload)
    } catch (error) {
      if (!(error instanceof RemoteError)) throw error
      this.#over(header.serial)
      this.link.send(streamError(header.prog, header.proc, header.serial, error))
      return
    }
    this.#pump(header.serial)
  }

  #handle(end: StreamEnd, header: Header, payload: Buffer): void {
    if (header.type === MESSAGE.streamHole) {
      const xdr = new XdrReader(payload)
      if (!end.skip) throw new HoleRefused()
      return end.skip(xdr.i64())
    }
    switch (header.status) {
      case STATUS.continue:
        if (payload.length > 0) end.take?.(payload)
        return
      case STATUS.ok:
        end.finish?.()
        break
      case STATUS.error:
        break
      default:
        throw new RemoteError(CODE.rpc, DOMAIN.streams, `stream aborted with unexpected status ${header.status}`, {
          str1: '%s'
        })
    }
    this.#over(header.serial)
    this.link.send(frame(header, header.serial, MESSAGE.stream, STATUS.ok))
  }

  #over(serial: number): void {
    const stream = this.#open.get(serial)
    this.#open.delete(serial)
    stream?.end.over?.()
  }

  /** Sends what the streams have, as far as the link takes it. */
  pumpAll(): void {
    for (const serial of [...this.#open.keys()]) this.#pump(serial)
  }

  #pump(serial: number): void {
    const stream = this.#open.get(serial)
    if (!stream?.end.supply) return
    let budget = 16
    while (!stream.done && !this.link.congested && budget-- > 0) {
      const next = stream.end.supply()
      if (next === undefined) return
      if (next === 'end') {
        stream.done = true
        this.link.send(frame(stream, serial, MESSAGE.stream, STATUS.continue))
      } else if (Buffer.isBuffer(next))
        this.link.send(frame(stream, serial, MESSAGE.stream, STATUS.continue, next))
      else {
        const hole = new XdrWriter(12).i64(next.hole).u32(0).finish()
        this.link.send(frame(stream, serial, MESSAGE.streamHole, STATUS.continue, hole))
      }
    }
    // The link has not been written out yet in this turn: go on when it has.
    if (!stream.done && !this.link.congested) setImmediate(() => this.#pump(serial))
  }

  /** The connection is gone. */
  closeAll(): void {
    for (const serial of [...this.#open.keys()]) this.#over(serial)
  }
}

/** A hole where none was asked for: libvirt closes the connection. */
export class HoleRefused extends Error {
  override name = 'HoleRefused'
}

function frame(of: { prog: number; proc: number }, serial: number, type: number, status: number, payload?: Buffer): Buffer {
  return encodeFrame({ prog: of.prog, vers: PROGRAM_VERSION, proc: of.proc, type, serial, status }, payload)
}
