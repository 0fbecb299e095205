import { peerCredentials } from '../os/accounts.js'
import { ADDRESS_BYTES, writeUnixAddress } from '../os/address.js'
import { NO_ROOM, type FdLedger } from '../os/fd-ledger.js'
import {
  AF_UNIX,
  connect,
  EAGAIN,
  ECONNREFUSED,
  ENAMETOOLONG,
  ENOENT,
  EPERM,
  errno,
  Memory,
  setIntOption,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  SOL_SOCKET
} from '../os/libc.js'
import type { DriverSocket } from './driver-sockets.js'

const FIRST_RETRY_MS = 5
const LAST_RETRY_MS = 200

/**
 * Four packets of an upload, in the kernel's way of counting, so that the daemon and we work side by side. By default it
 * holds less than one, and they take turns.
 */
const SEND_BUFFER_BYTES = 1024 * 1024

const OWN_UID = process.geteuid!()
const address = new Memory(ADDRESS_BYTES)

/** What came of connecting. */
export interface Connected {
  /** A non-blocking descriptor that stands in the ledger, or the negative errno. */
  outcome: number
  /** Index of the path that it is of. */
  at: number
  /** Errnos of the paths that were passed over, in their order. */
  passedOver: readonly number[]
}

/** As an outcome: the socket is somebody else's, who might pretend to be a daemon. */
export const FOREIGN = -EPERM

/**
 * Connects to the first of some UNIX sockets on which somebody listens. On these, connect answers at once: there is
 * nothing to wait for, except that a full backlog gives EAGAIN, and then it is tried again with growing pauses until
 * `deadlineMs` is over. If nobody listens on any of them the outcome is that of the first: -ENOENT, or -ECONNREFUSED
 * where a daemon has left its file behind. Where there was nothing to wait for it returns no promise.
 */
export function connectUnix(
  sockets: readonly DriverSocket[],
  ledger: FdLedger,
  owner: number,
  deadlineMs: number,
  given: { readonly up: boolean }
): Connected | Promise<Connected> {
  const connected = tryConnect(sockets, ledger, owner)
  if (connected.outcome !== -EAGAIN) return connected
  return connectLater(connected, () => tryConnect(sockets, ledger, owner), deadlineMs, given)
}

async function connectLater(
  failed: Connected,
  again: () => Connected,
  deadlineMs: number,
  given: { readonly up: boolean }
): Promise<Connected> {
  const until = performance.now() + deadlineMs
  let connected = failed
  for (let pause = FIRST_RETRY_MS; connected.outcome === -EAGAIN; pause = Math.min(2 * pause, LAST_RETRY_MS)) {
    if (performance.now() + pause > until || given.up) break
    await new Promise(resolve => setTimeout(resolve, pause))
    connected = again()
  }
  return connected
}

const unixSocket = (): number => socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)

/** Beyond `net.core.wmem_max` where we are privileged, else up to it. The kernel doubles the figure that it is given. */
function enlargeSendBuffer(fd: number): void {
  const half = SEND_BUFFER_BYTES / 2
  if (!setIntOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, half)) setIntOption(fd, SOL_SOCKET, SO_SNDBUF, half)
}

/** Whether somebody else listens there than root or we. The kernel notes who it is when `listen` is called. */
function isForeign(fd: number): boolean {
  const uid = peerCredentials(fd)?.uid
  return uid !== 0 && uid !== OWN_UID
}

function tryConnect(sockets: readonly DriverSocket[], ledger: FdLedger, owner: number): Connected {
  const fd = ledger.opened(owner, unixSocket)
  const passedOver: number[] = []
  if (fd < 0) return { outcome: fd === NO_ROOM ? fd : -errno(), at: 0, passedOver }
  // A socket that found nobody in one place is as good as new for the next.
  for (const [at, { path, named }] of sockets.entries()) {
    const length = writeUnixAddress(address, path)
    const connected = length > 0 && connect(fd, address.address, length) === 0
    if (connected && (named || !isForeign(fd))) {
      enlargeSendBuffer(fd)
      return { outcome: fd, at, passedOver }
    }
    const code = connected ? EPERM : length > 0 ? errno() : ENAMETOOLONG
    if (code !== ENOENT && code !== ECONNREFUSED) {
      ledger.close(fd)
      return { outcome: -code, at, passedOver }
    }
    passedOver.push(code)
  }
  ledger.close(fd)
  return { outcome: -(passedOver[0] ?? ENOENT), at: 0, passedOver }
}
