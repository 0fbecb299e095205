import { Memory, MSG_DONTWAIT, SCM_RIGHTS, sendmsg, SOL_SOCKET } from '#workers/os/libc.js'

const MSG_OOB = 1

/** A `struct msghdr` with one byte, and one descriptor attached to it. */
const memory = new Memory(128)
const IOVEC_AT = 56
const CONTROL_AT = 72
const BYTE_AT = 96

/** Sends a descriptor with an urgent byte, which readers pass over unless they have asked for it. */
export function sendUrgently(fd: number, descriptor: number): void {
  const { bytes, address } = memory
  const pointer = (at: number, value: number): void => void bytes.writeBigUInt64LE(BigInt(value), at)
  pointer(16, address + IOVEC_AT)
  pointer(24, 1)
  pointer(32, address + CONTROL_AT)
  pointer(40, 24)
  pointer(IOVEC_AT, address + BYTE_AT)
  pointer(IOVEC_AT + 8, 1)
  pointer(CONTROL_AT, 20)
  bytes.writeInt32LE(SOL_SOCKET, CONTROL_AT + 8)
  bytes.writeInt32LE(SCM_RIGHTS, CONTROL_AT + 12)
  bytes.writeInt32LE(descriptor, CONTROL_AT + 16)
  if (sendmsg(fd, address, MSG_OOB | MSG_DONTWAIT) !== 1) throw new Error('this kernel knows no urgent bytes here')
}
