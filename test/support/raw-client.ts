import { connect, type NetConnectOpts } from 'node:net'
import { once } from 'node:events'
import { MESSAGE, STATUS, type Header } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import type { Cleanup } from './cleanup.js'
import { FrameSocket, type Frame } from './frame-socket.js'

/** A client that speaks the protocol by hand: nothing happens that the test does not ask for, except pongs. */
export class RawClient extends FrameSocket {
  /** Of the next call, unless the call says otherwise. */
  serial = 0

  /** `where`: path of a UNIX socket, or a port of 127.0.0.1. */
  static async connect(cleanup: Cleanup, where: string | number | NetConnectOpts): Promise<RawClient> {
    const options =
      typeof where === 'string' ? { path: where } : typeof where === 'number' ? { host: '127.0.0.1', port: where } : where
    const socket = connect({ noDelay: true, ...options })
    cleanup.defer(() => Promise.resolve(socket.destroy()))
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  /** Sends a call and waits for its reply, good or bad. */
  call(proc: number, payload?: Uint8Array, header: Partial<Header> = {}): Promise<Frame> {
    const serial = this.post(proc, payload, header)
    return this.next({ type: MESSAGE.reply, serial })
  }

  /** Sends a call and does not wait. Returns its serial. */
  post(proc: number, payload?: Uint8Array, header: Partial<Header> = {}): number {
    const serial = header.serial ?? this.serial++
    this.send({ ...header, proc, serial }, payload)
    return serial
  }

  /** The next `count` bytes of a stream's data, in however many packets they come. The last one must end there. */
  async data(serial: number, count: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (let missing = count; missing > 0;) {
      const { status, payload } = await this.next({ type: MESSAGE.stream, serial })
      const wrong = status !== STATUS.continue || payload.length === 0 || payload.length > missing
      if (wrong) throw new Error(`status ${status}, ${payload.length} bytes of a stream that has ${missing} to come`)
      pieces.push(payload)
      missing -= payload.length
    }
    return Buffer.concat(pieces)
  }

  /** CONNECT_OPEN; an undefined name is sent as absent. */
  open(name: string | undefined, flags = 0): Promise<Frame> {
    return this.call(REMOTE.connectOpen, encodeOpen({ name, flags }))
  }
}
