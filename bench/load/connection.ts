import net from 'node:net'
import { frameLength, frameSerial, frameStatus, frameType, HEADER_BYTES, legalFrameLength } from '#protocol/header.js'
import { callFrame } from '#protocol/messages/frames.js'
import { ADDRESS_BYTES, writeIpAddress, writeUnixAddress } from '#workers/os/address.js'
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  close,
  connect,
  EAGAIN,
  ECONNRESET,
  EINTR,
  errno,
  errorText,
  IPPROTO_TCP,
  Memory,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  recv,
  send,
  setIntOption,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  TCP_NODELAY
} from '#workers/os/libc.js'
import { Poller, READABLE, WRITABLE, type Pollable } from '#workers/os/poller.js'
import type { Address, Call } from './orders.js'
import { AGAIN, TlsWire } from './tls-wire.js'

const EINPROGRESS = 115
const SERIAL_AT = 20

/** One of each a process: see Poller. Replies are looked at in place and forgotten. */
const poller = new Poller()
const buffer = new Memory(256 * 1024)
const address = new Memory(ADDRESS_BYTES)

/** The frame of a call, at an address that does not change. */
export class OutgoingFrame {
  readonly memory: Memory
  readonly length: number

  constructor(bytes: Uint8Array) {
    this.length = bytes.length
    this.memory = new Memory(bytes.length)
    this.memory.bytes.set(bytes)
  }

  static call({ procedure, body }: Call): OutgoingFrame {
    return new OutgoingFrame(callFrame(procedure, 0, body))
  }

  set serial(value: number) {
    this.memory.bytes.writeUInt32BE(value, SERIAL_AT)
  }
}

/** What a connection tells whoever uses it. */
export interface User {
  /** A whole frame came, of `length` with header. A body that came with one read starts at `bodyAt` in `bytes`. */
  frame(connection: Connection, type: number, status: number, length: number, bytes: Buffer, bodyAt: number): void
  lost(connection: Connection, reason: string): void
  /** What did not fit the socket's buffer is out. */
  drained?(connection: Connection): void
}

/**
 * A client's connection as cheap as this process can have it: raw system calls, no copy, no object a frame. Bodies
 * larger than the read buffer are skipped, not stored.
 */
export class Connection implements Pollable {
  user: User
  /** When the call in flight was sent, or was due; milliseconds. */
  since = 0
  serial = 0
  bytes = 0
  readonly #fd: number
  readonly #tls: TlsWire | undefined
  #slot: number
  #interest = READABLE | WRITABLE
  #closed = false
  /** The start of a frame whose header is not complete. */
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerBytes = 0
  /** Bytes of the frame's body that are still to come. */
  #left = 0
  #type = 0
  #status = 0
  #length = 0
  /** What did not fit the socket's buffer. */
  #outgoing: OutgoingFrame | undefined
  #sent = 0

  /** Throws where the connection is refused at once. `connect` need not be over: what is sent waits for it. */
  constructor(to: Address, user: User) {
    this.user = user
    const tcp = 'host' in to
    const family = !tcp ? AF_UNIX : net.isIPv6(to.host) ? AF_INET6 : AF_INET
    this.#fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if (this.#fd < 0) throw new Error(`socket: ${errorText(errno())}`)
    if (tcp) setIntOption(this.#fd, IPPROTO_TCP, TCP_NODELAY, 1)
    const length = tcp ? writeIpAddress(address, to.host, to.port) : writeUnixAddress(address, to.path)
    if (connect(this.#fd, address.address, length) !== 0 && errno() !== EINPROGRESS) {
      const code = errno()
      close(this.#fd)
      throw new ConnectFailure(code)
    }
    this.#tls = tcp && to.tls !== undefined ? new TlsWire(this.#fd, to.tls) : undefined
    this.#slot = poller.add(this.#fd, this.#interest, this)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The expected serial is set in the frame; one frame at a time. */
  send(frame: OutgoingFrame): void {
    frame.serial = ++this.serial
    this.sendAsIs(frame)
  }

  sendAsIs(frame: OutgoingFrame): void {
    if (this.#outgoing !== undefined) throw new Error('the frame before is not out yet')
    this.#outgoing = frame
    this.#sent = 0
    this.#write()
  }

  get busy(): boolean {
    return this.#outgoing !== undefined
  }

  /** Stops to read for good: a client that takes nothing. */
  deafen(): void {
    this.#want(this.#interest & ~READABLE)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    poller.remove(this.#slot, this.#fd)
    this.#tls?.free()
    close(this.#fd)
  }

  ready(events: number): void {
    if (this.#tls?.ready === false) return this.#shake(this.#tls)
    if (events & READABLE && this.#interest & READABLE) this.#read()
    if (this.#closed) return
    if (events & WRITABLE) this.#write()
    else if (!(events & READABLE)) this.#lose('hung up')
  }

  #shake(tls: TlsWire): void {
    const result = tls.shake(buffer.address)
    if (result > 0) this.#write()
    // What a client writes in a handshake always fits.
    else if (result === AGAIN) this.#want(READABLE)
    else this.#lose(`TLS handshake failed: ${tls.fault}`)
  }

  /** The errno of a call that returned `count`. */
  #failure(count: number): number {
    if (this.#tls === undefined) return errno()
    return count === AGAIN ? EAGAIN : ECONNRESET
  }

  #write(): void {
    const frame = this.#outgoing
    if (frame !== undefined) {
      const from = frame.memory.address + this.#sent
      const left = frame.length - this.#sent
      const count = this.#tls?.send(from, left) ?? send(this.#fd, from, left, MSG_DONTWAIT | MSG_NOSIGNAL)
      if (count < 0) {
        const code = this.#failure(count)
        if (code === EAGAIN || code === EINTR) this.#want(this.#interest | WRITABLE)
        else this.#lose(errorText(code))
        return
      }
      this.#sent += count
      if (this.#sent < frame.length) return this.#want(this.#interest | WRITABLE)
      this.#outgoing = undefined
      if (!(this.#interest & WRITABLE)) return
    }
    this.#want(this.#interest & ~WRITABLE)
    this.user.drained?.(this)
  }

  #read(): void {
    const room = buffer.bytes.length
    const count = this.#tls?.receive(buffer.address, room) ?? recv(this.#fd, buffer.address, room, MSG_DONTWAIT)
    if (count <= 0) {
      const code = count === 0 ? 0 : this.#failure(count)
      if (code !== EAGAIN && code !== EINTR) this.#lose(count === 0 ? 'closed by the other end' : errorText(code))
      return
    }
    this.bytes += count
    let at = 0
    while (at < count && !this.#closed) at = this.#left > 0 ? this.#skip(at, count) : this.#start(at, count)
  }

  /** Reads a header at `at`; returns where the next part starts. */
  #start(at: number, end: number): number {
    const bytes = buffer.bytes
    if (this.#headerBytes === 0 && end - at >= HEADER_BYTES) {
      this.#begin(bytes, at)
      at += HEADER_BYTES
    } else {
      const take = Math.min(HEADER_BYTES - this.#headerBytes, end - at)
      bytes.copy(this.#header, this.#headerBytes, at, at + take)
      this.#headerBytes += take
      at += take
      if (this.#headerBytes < HEADER_BYTES) return at
      this.#headerBytes = 0
      this.#begin(this.#header, 0)
    }
    return this.#left === 0 ? this.#complete(at, at) : this.#skip(at, end)
  }

  #begin(bytes: Uint8Array, at: number): void {
    this.#length = frameLength(bytes, at)
    this.#type = frameType(bytes, at)
    this.#status = frameStatus(bytes, at)
    this.#left = this.#length - HEADER_BYTES
    if (!legalFrameLength(this.#length)) this.#lose('what answers there does not speak libvirt\'s protocol')
    else if (this.#type === 1 && frameSerial(bytes, at) !== this.serial) this.#lose('a reply to no call')
  }

  #skip(at: number, end: number): number {
    const take = Math.min(this.#left, end - at)
    this.#left -= take
    return this.#left === 0 ? this.#complete(at, at + take) : at + take
  }

  #complete(bodyAt: number, end: number): number {
    if (!this.#closed) this.user.frame(this, this.#type, this.#status, this.#length, buffer.bytes, bodyAt)
    return end
  }

  #want(interest: number): void {
    if (interest === this.#interest || this.#closed) return
    this.#interest = interest
    poller.change(this.#slot, this.#fd, interest)
  }

  #lose(reason: string): void {
    if (this.#closed) return
    this.close()
    this.user.lost(this, reason)
  }
}

export class ConnectFailure extends Error {
  constructor(readonly errno: number) {
    super(`connect: ${errorText(errno)}`)
  }

  /** A UNIX socket's backlog is full; TCP waits in the kernel. */
  get worthRetrying(): boolean {
    return this.errno === EAGAIN
  }
}
