import { constants } from 'node:os'
import { ADDRESS_BYTES, writeUnixAddress } from './address.js'
import {
  AF_UNIX,
  close,
  connect,
  EAGAIN,
  errno,
  Memory,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  sendBytes,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  socket
} from './libc.js'

/** The datagram is larger than the socket can carry. */
export const { EMSGSIZE } = constants.errno
const SOCK_DGRAM = 2

const address = new Memory(ADDRESS_BYTES)

/**
 * Sends datagrams to a UNIX socket, as log daemons and systemd want them; never waits. The socket is connected at the
 * first datagram, and anew when its owner was restarted.
 */
export class UnixDatagramSender {
  #fd = -1
  /** A path that starts with `@` is a name in the abstract name space. Paths that do not fit throw a RangeError. */
  constructor(readonly path: string) {
    if (writeUnixAddress(address, path) === 0) throw new RangeError(`'${path}' does not fit a socket address`)
  }

  /** 0 when the datagram was taken, else the errno; EAGAIN says that the receiver's queue is full. */
  send(bytes: Uint8Array): number {
    if (this.#fd < 0) return this.#connectAndSend(bytes)
    const code = this.#trySend(bytes)
    // Any of several errors tells that the receiver is gone; a fresh connection shows whether it is back.
    return code === 0 || code === EAGAIN || code === EMSGSIZE ? code : this.#connectAndSend(bytes)
  }

  close(): void {
    if (this.#fd >= 0) close(this.#fd)
    this.#fd = -1
  }

  #connectAndSend(bytes: Uint8Array): number {
    this.close()
    const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if (fd < 0) return errno()
    this.#fd = fd
    const length = writeUnixAddress(address, this.path)
    const code = connect(fd, address.address, length) === 0 ? this.#trySend(bytes) : errno()
    if (code !== 0 && code !== EAGAIN && code !== EMSGSIZE) this.close()
    return code
  }

  #trySend(bytes: Uint8Array): number {
    return sendBytes(this.#fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno() : 0
  }
}
