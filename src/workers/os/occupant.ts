import { closeSync, constants, lstatSync, openSync, type Stats } from 'node:fs'
import { ADDRESS_BYTES, writeUnixAddress } from './address.js'
import { peerCredentials } from './accounts.js'
import {
  AF_UNIX,
  close,
  connect,
  EAGAIN,
  ECONNREFUSED,
  ENOENT,
  EPROTOTYPE,
  errno,
  errorText, reasonOf,
  Memory,
  O_PATH,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket
} from './libc.js'
import { fileId, removeIf } from './own-file.js'

/** What is at the place of a UNIX socket. */
export type Occupant =
  | { kind: 'nothing' }
  /** A socket's file, behind which nobody listens any more. */
  | { kind: 'dead' }
  /** Somebody listens; `pid` as in SO_PEERCRED (0: not to be seen from here), undefined if it does not tell. */
  | { kind: 'listener'; pid: number | undefined }
  /** Something that is not for us to remove, and why. */
  | { kind: 'obstacle'; why: string }

const address = new Memory(ADDRESS_BYTES)

/**
 * Asks who listens at a path by connecting to it; an abstract name begins with `@`. A socket that systemd listens on
 * starts its daemon by this.
 */
export function occupantOf(path: string): Occupant {
  const why = obstacleAt(path)
  if (why !== undefined) return { kind: 'obstacle', why }
  const length = writeUnixAddress(address, path)
  if (length === 0) return { kind: 'obstacle', why: 'the path is too long for a UNIX socket' }
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd < 0) return { kind: 'obstacle', why: `it cannot be asked who listens there: ${errorText(errno())}` }
  const code = connect(fd, address.address, length) === 0 ? 0 : errno()
  const pid = code === 0 ? peerCredentials(fd)?.pid : undefined
  close(fd)
  switch (code) {
    case 0:
    // Its backlog is full.
    case EAGAIN:
    // It is a socket of another type, and in use.
    case EPROTOTYPE:
      return { kind: 'listener', pid }
    case ENOENT:
      return { kind: 'nothing' }
    case ECONNREFUSED:
      return { kind: path.startsWith('@') ? 'nothing' : 'dead' }
    default:
      return { kind: 'obstacle', why: `it cannot be asked who listens there: ${errorText(code)}` }
  }
}

/** What at a path is in the way of a socket because it is no socket itself. Asks nobody. */
export function obstacleAt(path: string): string | undefined {
  if (path.startsWith('@')) return undefined
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false })
    return stats === undefined || stats.isSocket() ? undefined : `${kindOf(stats)} is in its place`
  } catch (error) {
    return reasonOf(error)
  }
}

export function kindOf(stats: Stats): string {
  if (stats.isSymbolicLink()) return 'a symbolic link'
  if (stats.isDirectory()) return 'a directory'
  if (stats.isFIFO()) return 'a FIFO'
  if (stats.isSocket()) return 'a socket'
  return stats.isFile() ? 'a file' : 'a device'
}

/** Removes what a dead listener has left at a path, and nothing else. What is there then is as `occupantOf` has it. */
export function removeDead(path: string): Occupant {
  let pin: number
  try {
    // Held open, its number can become no other file's.
    pin = openSync(path, O_PATH | constants.O_NOFOLLOW)
  } catch {
    return occupantOf(path)
  }
  try {
    const occupant = occupantOf(path)
    return occupant.kind === 'dead' && removeIf(path, fileId(pin)!) ? { kind: 'nothing' } : occupant
  } finally {
    closeSync(pin)
  }
}
