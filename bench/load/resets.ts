import { ADDRESS_BYTES, writeIpAddress, writeUnixAddress } from '#workers/os/address.js'
import {
  AF_INET,
  AF_UNIX,
  close,
  connect,
  EAGAIN,
  errno,
  errorText,
  Memory,
  setsockopt,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  SOL_SOCKET
} from '#workers/os/libc.js'
import type { Address, Outcome } from './orders.js'
import { Tally } from './outcome.js'

const EINPROGRESS = 115
const SO_LINGER = 13
const AT_A_TIME = 16

/** `struct linger`: on, and no time at all. */
const noTime = new Memory(8)
noTime.bytes.writeInt32LE(1, 0)
const address = new Memory(ADDRESS_BYTES)

/** As many connections as this process can make, each of which is reset as soon as it is there. */
export function resets(to: Address, ms: number): Promise<Outcome> {
  const tally = new Tally()
  const end = tally.started + ms
  return new Promise(resolve => {
    const some = (): void => {
      for (let i = 0; i < AT_A_TIME; i++) reset(to, tally)
      if (performance.now() < end) setImmediate(some)
      else resolve(tally.finish())
    }
    some()
  })
}

function reset(to: Address, tally: Tally): void {
  const fd = socket('host' in to ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  const length = 'host' in to ? writeIpAddress(address, to.host, to.port) : writeUnixAddress(address, to.path)
  const connected = connect(fd, address.address, length) === 0 || errno() === EINPROGRESS
  // A full backlog is what a flood is after.
  if (!connected && errno() !== EAGAIN) tally.fail(errorText(errno()))
  tally.count++
  setsockopt(fd, SOL_SOCKET, SO_LINGER, noTime.address, 8)
  close(fd)
}
