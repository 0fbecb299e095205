import { ADDRESS_BYTES, writeUnixAddress } from '../os/address.js'
import type { FdLedger } from '../os/fd-ledger.js'
import {
  AF_UNIX,
  close,
  connect,
  EAGAIN,
  ENAMETOOLONG,
  errno,
  Memory,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket
} from '../os/libc.js'

const FIRST_RETRY_MS = 5
const LAST_RETRY_MS = 200

const address = new Memory(ADDRESS_BYTES)

/**
 * Connects to a UNIX socket. On these, connect answers at once: there is nothing to wait for, except that a full
 * backlog gives EAGAIN, and then it is tried again with growing pauses until `deadlineMs` is over.
 * Resolves to a non-blocking descriptor that stands in the ledger, or to the negative errno.
 */
export async function connectUnix(
  path: string,
  ledger: FdLedger,
  owner: number,
  deadlineMs: number,
  given: { readonly up: boolean }
): Promise<number> {
  const until = performance.now() + deadlineMs
  for (let pause = FIRST_RETRY_MS; ; pause = Math.min(2 * pause, LAST_RETRY_MS)) {
    const outcome = tryConnect(path, ledger, owner)
    if (outcome !== -EAGAIN || performance.now() + pause > until || given.up) return outcome
    await new Promise(resolve => setTimeout(resolve, pause))
  }
}

/** A descriptor, or the negative errno. */
function tryConnect(path: string, ledger: FdLedger, owner: number): number {
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd < 0) return -errno()
  const length = writeUnixAddress(address, path)
  if (length > 0 && connect(fd, address.address, length) === 0) {
    ledger.adopt(fd, owner)
    return fd
  }
  const code = length > 0 ? errno() : ENAMETOOLONG
  close(fd)
  return -code
}
