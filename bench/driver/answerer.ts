/**
 * A driver daemon that only answers, with replies of the size that a call asks for, and with as little work a call as
 * it can: behind it, the proxy is what limits the rate. `node answerer.js SOCKET`
 *
 * Knows what a proxy asks when a client opens, CONNECT_GET_LIB_VERSION, INTERFACE_CHANGE_BEGIN (a reply without body),
 * DOMAIN_GET_TIME (no reply at all), CONNECT_GET_ALL_DOMAIN_STATS (for which one of 20 workers is busy for a second; how many
 * there were CONNECT_NUM_OF_DOMAINS says) and NODE_LIST_DEVICES: `maxnames` names of 252 bytes, up to 65,536 of them, are replies
 * of 32 bytes to 16 MiB.
 */

import { rmSync } from 'node:fs'
import {
  encodeFrame,
  frameLength,
  frameProcedure,
  frameProgram,
  frameSerial,
  frameType,
  HEADER_BYTES,
  MESSAGE,
  PROGRAM
} from '#protocol/header.js'
import { PONG_FRAME } from '#protocol/messages/keepalive.js'
import { KEEPALIVE, REMOTE } from '#protocol/procedures.js'
import { XdrReader, XdrWriter } from '#protocol/xdr.js'
import { ADDRESS_BYTES, writeUnixAddress } from '#workers/os/address.js'
import {
  accept4,
  AF_UNIX,
  bind,
  close,
  EAGAIN,
  EINTR,
  errno,
  errorText,
  listen,
  Memory,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  recv,
  send,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket
} from '#workers/os/libc.js'
import { Poller, READABLE, WRITABLE, type Pollable } from '#workers/os/poller.js'

const NAME_BYTES = 252
const LIB_VERSION = 9_000_000n

const poller = new Poller()
const buffer = new Memory(64 * 1024)

type Body = Buffer | undefined
const number = (value: number): Buffer => new XdrWriter(4).i32(value).finish()
const nothing = Buffer.alloc(0)

/** As of a guest that hangs. */
const NEVER_ANSWERED: number = REMOTE.domainGetTime
/** As of guests that take their time to tell. */
const SLOW: number = REMOTE.connectGetAllDomainStats
const EXECUTIONS: number = REMOTE.connectNumOfDomains

/** Replies by procedure; one that is not here is an error. */
const bodies: Partial<Record<number, Body>> = {
  [REMOTE.authList]: new XdrWriter(8).u32(1).u32(0).finish(),
  [REMOTE.connectOpen]: nothing,
  [REMOTE.connectClose]: nothing,
  [REMOTE.connectSupportsFeature]: number(0),
  [REMOTE.connectGetUri]: new XdrWriter().string('test:///default').finish(),
  [REMOTE.connectGetType]: new XdrWriter().string('TEST').finish(),
  [REMOTE.connectGetLibVersion]: new XdrWriter(8).u64(LIB_VERSION).finish(),
  [REMOTE.connectSetIdentity]: nothing,
  [SLOW]: number(0),
  [REMOTE.connectRegisterCloseCallback]: nothing,
  [REMOTE.connectUnregisterCloseCallback]: nothing,
  [REMOTE.interfaceChangeBegin]: nothing
}

interface Reply {
  memory: Memory
  length: number
}

const ready = new Map<string, Reply>()
/** Who has calls that are never answered would be given up without it. */
const PONG = inPlace(PONG_FRAME)

/** A reply frame at a fixed address; made once for each procedure and size. */
function reply(procedure: number, names: number): Reply {
  const key = `${procedure} ${names}`
  const known = ready.get(key)
  if (known !== undefined) return known
  const body = procedure === REMOTE.nodeListDevices ? nameList(names) : bodies[procedure]
  const header = { prog: PROGRAM.remote, vers: 1, proc: procedure, type: 1, serial: 0, status: body ? 0 : 1 }
  const made = inPlace(encodeFrame(header, body ?? unsupported()))
  ready.set(key, made)
  return made
}

function inPlace(frame: Buffer): Reply {
  const memory = new Memory(frame.length)
  memory.bytes.set(frame)
  return { memory, length: frame.length }
}

function executions(): Reply {
  const header = { prog: PROGRAM.remote, vers: 1, proc: EXECUTIONS, type: 1, serial: 0, status: 0 }
  return inPlace(encodeFrame(header, number(workers.executions)))
}

function nameList(names: number): Buffer {
  const name = Buffer.alloc(NAME_BYTES, 'n')
  const xdr = new XdrWriter(4 + names * (4 + NAME_BYTES)).u32(names)
  for (let i = 0; i < names; i++) xdr.opaque(name)
  return xdr.finish()
}

/** `virNetMessageError`: code 3 (no support), domain 7 (RPC), text, level 2, the rest empty. */
function unsupported(): Buffer {
  const xdr = new XdrWriter().u32(3).u32(7).bool(true).string('this driver only answers').u32(2)
  for (let i = 0; i < 4; i++) xdr.bool(false)
  return xdr.i32(0).i32(0).bool(false).finish()
}

/** Slow calls are carried out so many at a time, in their order. */
class Workers {
  #idle = 20
  readonly #waiting: (() => void)[] = []
  executions = 0

  work(done: () => void): void {
    if (this.#idle === 0) return void this.#waiting.push(done)
    this.#idle--
    this.executions++
    setTimeout(() => {
      this.#idle++
      done()
      const next = this.#waiting.shift()
      if (next !== undefined) this.work(next)
    }, 1000)
  }
}

const workers = new Workers()

class Client implements Pollable {
  readonly #fd: number
  readonly #slot: number
  #pending = Buffer.alloc(0)
  #outgoing: Reply | undefined
  #serial = 0
  #sent = 0
  #writing = false
  #closed = false
  /** Serials of slow calls that are carried out. */
  readonly #done: number[] = []

  constructor(fd: number) {
    this.#fd = fd
    this.#slot = poller.add(fd, READABLE, this)
  }

  ready(events: number): void {
    if (events & WRITABLE) {
      this.#write()
      this.#answerDone()
      if (this.#outgoing === undefined) this.#answerPending()
    } else this.#read()
  }

  #read(): void {
    const count = recv(this.#fd, buffer.address, buffer.bytes.length, MSG_DONTWAIT)
    if (count > 0) {
      if (this.#pending.length > 0) {
        this.#pending = Buffer.concat([this.#pending, buffer.bytes.subarray(0, count)])
        this.#answerPending()
      } else {
        const used = this.#answer(buffer.bytes, count)
        if (used < count) this.#pending = Buffer.from(buffer.bytes.subarray(used, count))
      }
    } else if (count === 0 || (errno() !== EAGAIN && errno() !== EINTR)) {
      this.#closed = true
      poller.remove(this.#slot, this.#fd)
      close(this.#fd)
    }
  }

  #answerPending(): void {
    if (this.#pending.length === 0) return
    const used = this.#answer(this.#pending, this.#pending.length)
    this.#pending = this.#pending.subarray(used)
  }

  /** Answers the whole frames at the start of `bytes`; returns how many bytes those were. */
  #answer(bytes: Buffer, end: number): number {
    let at = 0
    while (this.#outgoing === undefined && end - at >= HEADER_BYTES) {
      const length = frameLength(bytes, at)
      if (end - at < length) break
      if (frameType(bytes, at) === MESSAGE.call) this.#call(bytes, at, length)
      else if (frameProgram(bytes, at) === PROGRAM.keepalive && frameProcedure(bytes, at) === KEEPALIVE.ping) this.#send(PONG, 0)
      at += length
    }
    return at
  }

  #call(bytes: Buffer, at: number, length: number): void {
    const procedure = frameProcedure(bytes, at)
    const serial = frameSerial(bytes, at)
    if (procedure === NEVER_ANSWERED) return
    if (procedure === SLOW) return workers.work(() => this.#finish(serial))
    if (procedure === EXECUTIONS) return this.#send(executions(), serial)
    let names = 0
    if (procedure === REMOTE.nodeListDevices) {
      const xdr = new XdrReader(bytes, at + HEADER_BYTES, at + length)
      xdr.optional(x => x.string())
      names = xdr.i32()
    }
    this.#send(reply(procedure, names), serial)
  }

  #finish(serial: number): void {
    if (this.#closed) return
    this.#done.push(serial)
    this.#answerDone()
  }

  #answerDone(): void {
    while (this.#outgoing === undefined && this.#done.length > 0) this.#send(reply(SLOW, 0), this.#done.shift()!)
  }

  #send(frame: Reply, serial: number): void {
    this.#outgoing = frame
    this.#serial = serial
    this.#sent = 0
    this.#write()
  }

  #write(): void {
    const { memory, length } = this.#outgoing!
    // Frames are shared by all clients, so the serial is written anew for the part that holds it.
    if (this.#sent < HEADER_BYTES) memory.bytes.writeUInt32BE(this.#serial, 20)
    const count = send(this.#fd, memory.address + this.#sent, length - this.#sent, MSG_DONTWAIT | MSG_NOSIGNAL)
    if (count > 0) this.#sent += count
    const done = this.#sent === length || (count < 0 && errno() !== EAGAIN && errno() !== EINTR)
    if (done) this.#outgoing = undefined
    if (done !== this.#writing) return
    this.#writing = !done
    poller.change(this.#slot, this.#fd, done ? READABLE : WRITABLE)
  }
}

function serve(path: string): void {
  rmSync(path, { force: true })
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  const address = new Memory(ADDRESS_BYTES)
  const length = writeUnixAddress(address, path)
  if (bind(fd, address.address, length) !== 0 || listen(fd, 4096) !== 0) {
    throw new Error(`${path}: ${errorText(errno())}`)
  }
  poller.add(fd, READABLE, {
    ready() {
      for (let client = 0; client >= 0;) {
        client = accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if (client >= 0) new Client(client)
      }
    }
  })
}

process.on('SIGTERM', () => process.exit(0))
serve(process.argv[2]!)
