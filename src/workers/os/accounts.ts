import { readFileSync } from 'node:fs'
import koffi from 'koffi'
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

type NameLookup = (id: number, record: Buffer, strings: Buffer, size: number, result: [unknown]) => number

const libc = koffi.load(null)
const lookups = {
  user: libc.func('int getpwuid_r(uint32_t, void *, void *, size_t, _Out_ void **)') as NameLookup,
  group: libc.func('int getgrgid_r(uint32_t, void *, void *, size_t, _Out_ void **)') as NameLookup
}

/** `struct passwd` and `struct group` are smaller, and both begin with the pointer to the name. */
const RECORD_BYTES = 128
const STRINGS_BYTES = 64 * 1024
const KEEP_MS = 60_000
const MAX_KNOWN = 4096

const known = new Map<string, { name: Promise<string | undefined>; until: number }>()

/**
 * The name of a user or group, or undefined if there is none. The name service may ask the network, so it is asked on
 * libuv's pool; an answer is kept for a minute.
 */
export function accountName(kind: 'user' | 'group', id: number): Promise<string | undefined> {
  const key = `${kind}${id}`
  const entry = known.get(key)
  if (entry !== undefined && entry.until > Date.now()) return entry.name
  if (known.size >= MAX_KNOWN) known.clear()
  const name = lookUp(kind, id)
  known.set(key, { name, until: Date.now() + KEEP_MS })
  return name
}

function lookUp(kind: 'user' | 'group', id: number): Promise<string | undefined> {
  return new Promise(resolve => {
    const record = Buffer.alloc(RECORD_BYTES)
    const strings = Buffer.alloc(STRINGS_BYTES)
    const result: [unknown] = [null]
    const call = lookups[kind] as unknown as { async: (...args: unknown[]) => void }
    call.async(id, record, strings, STRINGS_BYTES, result, (error: Error | null, code: number) => {
      if (error !== null || code !== 0 || result[0] === null) return resolve(undefined)
      // The name is copied into `strings`; nothing else is wanted from the record.
      const at = Number(record.readBigUInt64LE(0) - BigInt(koffi.address(strings)))
      resolve(strings.toString('utf8', at, strings.indexOf(0, at)))
    })
  })
}

const groupRecord = koffi.struct({ name: 'char *', password: 'char *', gid: 'uint32_t' })
const getgrnam = libc.func('getgrnam', koffi.pointer(groupRecord), ['str'])

/** The id of a group, or undefined if there is none. It may ask the network and wait: for start-up only. */
export function groupId(name: string): number | undefined {
  const record: unknown = (getgrnam as (name: string) => unknown)(name)
  return record === null ? undefined : (koffi.decode(record, groupRecord) as { gid: number }).gid
}
