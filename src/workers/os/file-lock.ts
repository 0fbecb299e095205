import { errno, fcntlLock, Memory } from './libc.js'

const F_GETLK = 5
const F_SETLK = 6
const F_WRLCK = 1
const F_UNLCK = 2
const PID_AT = 24

/** struct flock: type, whence, start, length, pid; 64-bit offsets on every platform that we run on. */
const request = new Memory(32)

/** Of a write lock on the first byte, as libvirt's programs take it. */
function ask(fd: number, operation: number): boolean {
  request.bytes.fill(0)
  request.bytes.writeInt16LE(F_WRLCK, 0)
  request.bytes.writeBigInt64LE(1n, 16)
  return fcntlLock(fd, operation, request.address) === 0
}

/**
 * Takes the lock of a file, or returns the errno: EAGAIN or EACCES if another process has it. It never waits. The lock is
 * gone when the process closes any descriptor of that file.
 */
export const lockFile = (fd: number): number => (ask(fd, F_SETLK) ? 0 : errno())

/** Who has the lock of a file; 0 is a process outside this container. Undefined: nobody, or that cannot be told. */
export function lockedBy(fd: number): number | undefined {
  if (!ask(fd, F_GETLK) || request.bytes.readInt16LE(0) === F_UNLCK) return undefined
  return Math.max(0, request.bytes.readInt32LE(PID_AT))
}
