import koffi from 'koffi'
import { errno, errorText, Memory } from './libc.js'

const libc = koffi.load(null)
const setgroups = libc.func('int setgroups(size_t, uintptr_t)') as (count: number, at: number) => number
const setgid = libc.func('int setgid(uint32_t)') as (gid: number) => number
const setuid = libc.func('int setuid(uint32_t)') as (uid: number) => number

const groups = new Memory(4)

/**
 * Gives the rights of all threads of this process to another user, with one group, for good. Not by way of Node: Debian
 * 13's refuses, because of threads that libuv might have through io_uring, and which is off (UV_USE_IO_URING). Throws an
 * Error with the system's words.
 */
export function becomeUser(uid: number, gid: number): void {
  groups.bytes.writeUInt32LE(gid, 0)
  for (const [name, done] of [
    ['setgroups', () => setgroups(1, groups.address)],
    ['setgid', () => setgid(gid)],
    ['setuid', () => setuid(uid)]
  ] as const) {
    if (done() !== 0) throw new Error(`${name}: ${errorText(errno())}`)
  }
}
