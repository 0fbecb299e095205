import { rmSync } from 'node:fs'
import { ADDRESS_BYTES, writeUnixAddress } from '#workers/os/address.js'
import { AF_UNIX, bind, close, errno, errorText, Memory, MSG_DONTWAIT, recv, socket } from '#workers/os/libc.js'

const SOCK_DGRAM = 2
const address = new Memory(ADDRESS_BYTES)
const buffer = new Memory(256 * 1024)

/** A UNIX datagram socket to which log lines and notifications can be sent; Node has none. */
export class DatagramReceiver {
  #fd: number

  /** A path that starts with `@` is an abstract name. */
  constructor(readonly path: string) {
    this.#fd = socket(AF_UNIX, SOCK_DGRAM, 0)
    if (bind(this.#fd, address.address, writeUnixAddress(address, path)) !== 0) throw new Error(`bind: ${errorText(errno())}`)
  }

  /** The next datagram, undefined if none has come. */
  receive(): string | undefined {
    const size = recv(this.#fd, buffer.address, buffer.bytes.length, MSG_DONTWAIT)
    return size < 0 ? undefined : buffer.bytes.toString('utf8', 0, size)
  }

  close(): void {
    if (this.#fd >= 0) close(this.#fd)
    this.#fd = -1
    if (!this.path.startsWith('@')) rmSync(this.path, { force: true })
  }
}
