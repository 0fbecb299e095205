import koffi from 'koffi'
import type { AccountKind } from './messages.js'

type Lookup = (id: number, record: Buffer, strings: Buffer, size: number, result: [unknown]) => number
type AsyncLookup = { async: (...args: [...Parameters<Lookup>, (error: Error | null, code: number) => void]) => void }

const libc = koffi.load(null)
const lookups = {
  user: libc.func('int getpwuid_r(uint32_t, void *, void *, size_t, _Out_ void **)') as Lookup,
  group: libc.func('int getgrgid_r(uint32_t, void *, void *, size_t, _Out_ void **)') as Lookup
}

const ERANGE = 34
const UINT_MAX = 0xffffffff
/** `struct passwd` and `struct group` are smaller, and both begin with the pointer to the name. */
const RECORD_BYTES = 128
const FIRST_BYTES = 4096
/** A group has the names of its members with it. */
const MOST_BYTES = 1024 * 1024

/** Room for one record; what does not fit is tried again with more. */
class Room {
  readonly record = Buffer.alloc(RECORD_BYTES)
  readonly strings: Buffer
  readonly result: [unknown] = [null]

  constructor(bytes: number) {
    this.strings = Buffer.alloc(bytes)
  }

  get args(): Parameters<Lookup> extends [number, ...infer Rest] ? Rest : never {
    return [this.record, this.strings, this.strings.length, this.result]
  }

  /** Whether the record needs more than there is, and may have it. */
  isTooSmall(code: number): boolean {
    return code === ERANGE && this.strings.length < MOST_BYTES
  }

  get larger(): Room {
    return new Room(2 * this.strings.length)
  }

  /** The name, which was copied into `strings`; nothing else is wanted of the record. */
  name(code: number): string | undefined {
    if (code !== 0 || this.result[0] === null) return undefined
    const at = Number(this.record.readBigUInt64LE(0) - BigInt(koffi.address(this.strings)))
    return this.strings.toString('utf8', at, this.strings.indexOf(0, at))
  }
}

/** The name of a user or group, or undefined if there is none. It may ask the network and wait: for start-up only. */
export function nameOf(kind: AccountKind, id: number): string | undefined {
  for (let room = new Room(FIRST_BYTES); ; room = room.larger) {
    const code = lookups[kind](id, ...room.args)
    if (!room.isTooSmall(code)) return room.name(code)
  }
}

/** The same on libuv's pool. */
export function lookUpName(kind: AccountKind, id: number): Promise<string | undefined> {
  const lookup = lookups[kind] as unknown as AsyncLookup
  return new Promise(resolve => {
    const attempt = (room: Room): void =>
      lookup.async(id, ...room.args, (error, code) => {
        if (error === null && room.isTooSmall(code)) attempt(room.larger)
        else resolve(error === null ? room.name(code) : undefined)
      })
    attempt(new Room(FIRST_BYTES))
  })
}

const groupRecord = koffi.struct({ name: 'char *', password: 'char *', gid: 'uint32_t' })
const getgrnam = libc.func('getgrnam', koffi.pointer(groupRecord), ['str'])

/**
 * The id of a group by its name or, where no group has that name, by its number, which need not have an entry; after a
 * `+` by the number alone. Undefined if it is neither. It may ask the network and wait: for start-up only.
 */
export function groupId(text: string): number | undefined {
  const record: unknown = text.startsWith('+') ? null : (getgrnam as (name: string) => unknown)(text)
  if (record !== null) return (koffi.decode(record, groupRecord) as { gid: number }).gid
  const digits = /^\s*[-+]?\d+$/.exec(text.replace(/^\+/, ''))?.[0]
  // As an unsigned number of C's: -1 is the last one, which for chown(2) means that nothing changes.
  return digits === undefined || Math.abs(Number(digits)) > UINT_MAX ? undefined : Number(digits) >>> 0
}

const userRecord = koffi.struct({ name: 'char *', password: 'char *', uid: 'uint32_t', gid: 'uint32_t' })
const getpwnam = libc.func('getpwnam', koffi.pointer(userRecord), ['str'])

/** The ids of a user and its group, or undefined if there is none. It may ask the network and wait: for start-up only. */
export function userIds(name: string): { uid: number; gid: number } | undefined {
  const record: unknown = (getpwnam as (name: string) => unknown)(name)
  if (record === null) return undefined
  const { uid, gid } = koffi.decode(record, userRecord) as { uid: number; gid: number }
  return { uid, gid }
}
