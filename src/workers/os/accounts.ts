import { readFileSync } from 'node:fs'
import { readOption, SO_PEERCRED, SO_PEERSEC, SOL_SOCKET } from './libc.js'

/** Who is at the other end of a UNIX socket (`SO_PEERCRED`), as the kernel saw it at connect time. */
export interface PeerCredentials {
  pid: number
  uid: number
  gid: number
}

const INT_MAX = 0xffffffff

export function peerCredentials(fd: number): PeerCredentials | undefined {
  const bytes = readOption(fd, SOL_SOCKET, SO_PEERCRED)
  if (bytes === undefined || bytes.length < 12) return undefined
  const [pid, uid, gid] = [bytes.readInt32LE(0), bytes.readUInt32LE(4), bytes.readUInt32LE(8)]
  return uid === INT_MAX ? undefined : { pid, uid, gid }
}

/** The peer's SELinux context, where the kernel has one. */
export function peerSecurityContext(fd: number): string | undefined {
  const text = readOption(fd, SOL_SOCKET, SO_PEERSEC)?.toString('utf8').replace(/\0.*$/s, '')
  return text === '' || text === 'unconfined' ? undefined : text
}

/**
 * Start time of a process in clock ticks after boot (`/proc/PID/stat`, field 22), or undefined if it is gone. Not on
 * libuv's pool: nothing waits for a disk there, and a thread that dies meanwhile would leave the file open.
 */
export function processStartTime(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the command in parentheses and may hold anything, parentheses too.
    const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return field === undefined ? undefined : Number(field)
  } catch {
    return undefined
  }
}
