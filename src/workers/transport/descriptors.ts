import type { FdLedger } from '../os/fd-ledger.js'
import {
  Memory,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_PEEK,
  recvmsg,
  SCM_MAX_FD,
  SCM_RIGHTS,
  sendmsg,
  SOL_SOCKET
} from '../os/libc.js'

/** `struct msghdr`, `struct iovec` and `struct cmsghdr` as on every 64-bit Linux. */
const IOV_AT = 16
const IOV_COUNT_AT = 24
const CONTROL_AT = 32
const CONTROL_LENGTH_AT = 40
const FLAGS_AT = 48
const MESSAGE_BYTES = 56
const CONTROL_HEADER_BYTES = 16
const CONTROL_BYTES = CONTROL_HEADER_BYTES + 4 * SCM_MAX_FD + 4

/** A message header with one buffer and room for descriptors, at fixed addresses. */
class Message {
  readonly #memory = new Memory(MESSAGE_BYTES + 16 + CONTROL_BYTES)
  readonly bytes = this.#memory.bytes
  readonly address = this.#memory.address
  /** Where the control part begins. */
  readonly control = MESSAGE_BYTES + 16

  constructor() {
    this.bytes.fill(0)
    this.#pointer(IOV_AT, this.address + MESSAGE_BYTES)
    this.#pointer(IOV_COUNT_AT, 1)
    this.#pointer(CONTROL_AT, this.address + this.control)
  }

  buffer(address: number, length: number): void {
    this.#pointer(MESSAGE_BYTES, address)
    this.#pointer(MESSAGE_BYTES + 8, length)
  }

  /** A word of eight bytes; the number is a safe integer, so no bigint is needed. */
  #pointer(at: number, value: number): void {
    this.bytes.writeUInt32LE(value % 0x1_0000_0000, at)
    this.bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4)
  }
}

const incoming = new Message()
const outgoing = new Message()
/** The byte that libvirt sends with each descriptor. */
const zero = new Memory(1)

outgoing.buffer(zero.address, 1)
outgoing.bytes.writeUInt32LE(CONTROL_HEADER_BYTES + 4, outgoing.control)
outgoing.bytes.writeInt32LE(SOL_SOCKET, outgoing.control + 8)
outgoing.bytes.writeInt32LE(SCM_RIGHTS, outgoing.control + 12)
outgoing.bytes.writeUInt32LE(CONTROL_HEADER_BYTES + 8, CONTROL_LENGTH_AT)

/**
 * Reads like `recv`, enters the descriptors that came along into the ledger and adds them to `descriptors`,
 * close-on-exec. The kernel ends a read with the bytes that a descriptor was attached to, so they belong to the end of
 * what was read. Returns the number of bytes; negative on failure.
 */
export function receive(
  fd: number,
  address: number,
  length: number,
  descriptors: number[],
  ledger: FdLedger,
  owner: number
): number {
  const { bytes, control } = incoming
  incoming.buffer(address, length)
  bytes.writeUInt32LE(CONTROL_BYTES, CONTROL_LENGTH_AT)
  const count = recvmsg(fd, incoming.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
  if (count < 0) return count
  if (bytes.readUInt32LE(CONTROL_LENGTH_AT) < CONTROL_HEADER_BYTES) return count
  const isRights = bytes.readInt32LE(control + 8) === SOL_SOCKET && bytes.readInt32LE(control + 12) === SCM_RIGHTS
  if (!isRights) return count
  const end = control + bytes.readUInt32LE(control)
  for (let at = control + CONTROL_HEADER_BYTES; at + 4 <= end; at += 4) {
    const descriptor = bytes.readInt32LE(at)
    ledger.adoptForeign(descriptor, owner)
    descriptors.push(descriptor)
  }
  return count
}

/** Counts what `receive` would read; afterwards `descriptorsMissed` says whether descriptors would come with it. */
export function lookAhead(fd: number, address: number, length: number): number {
  incoming.buffer(address, length)
  incoming.bytes.writeUInt32LE(0, CONTROL_LENGTH_AT)
  return recvmsg(fd, incoming.address, MSG_DONTWAIT | MSG_PEEK)
}

/** Whether there were more descriptors than came: what was read last had no room for them, or the process had not. */
export const descriptorsMissed = (): boolean => (incoming.bytes.readInt32LE(FLAGS_AT) & MSG_CTRUNC) !== 0

/** Sends one descriptor with its zero byte. Returns 1, or a negative number on failure (EAGAIN: later). */
export function sendDescriptor(fd: number, descriptor: number): number {
  outgoing.bytes.writeInt32LE(descriptor, outgoing.control + CONTROL_HEADER_BYTES)
  return sendmsg(fd, outgoing.address, MSG_DONTWAIT | MSG_NOSIGNAL)
}
