import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { decodeCallbackId, encodeCallbackId } from '#protocol/messages/events.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { streamAbort, streamData, streamFinish } from '#protocol/messages/streams.js'
import { QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Policy } from '#workers/policy/policy.js'
import { ClientSession } from '#workers/session/client-session.js'
import type { SessionAccess } from '#workers/session/session-owner.js'
import type { ThreadServices } from '#workers/thread/services.js'
import { CourseBytes } from './course-bytes.js'
import { STREAMS } from './course-daemon.js'
import { registrationArgs } from './event-daemon.js'
import { frame, type Frame } from './frame-socket.js'
import { arrivedInMemory } from './memory-session.js'
import type { MemoryTransport } from './memory-transport.js'
import { pattern } from './pattern.js'
import type { Random } from './random.js'
import { NAME } from './shared-trial.js'

const listener = { name: 'unix', transport: 'unix', readonly: false, auth: 'none' } as const
const AUTODESTROY = 2
const EVENTS = 3
/** Of calls that several make. */
const SAME = pattern(24)
const MONITOR = QEMU.connectDomainMonitorEventRegister
/** Of any domain, with a condition. */
const ANY_MONITOR_EVENT = new XdrWriter(16).bool(false).bool(true).string('X').u32(0).finish()

const {
  connectDomainEventCallbackRegisterAny: ON, connectDomainEventCallbackDeregisterAny: OFF, connectRegisterCloseCallback: LISTEN,
  connectOpen: OPEN, connectClose: CLOSE
} = REMOTE

interface Call {
  readonly prog: number
  readonly proc: number
  readonly payload: Buffer
}

/** A client with its session. */
export class CourseClient {
  readonly session: ClientSession
  readonly transport: MemoryTransport
  /** Calls that are not answered, by serial. */
  readonly owed = new Map<number, Call>()
  /** Programs and ids by which it hears of events, and how often it has. */
  readonly heard = new Map<string, number>()
  /** Streams that it has not ended, and those of which it waits for the end. */
  readonly streams = new Map<number, number>()
  readonly ending = new Map<number, number>()
  isOpen = false
  /** It has said that it leaves. */
  leaves = false
  #serial = 0
  readonly out: CourseBytes

  constructor(
    readonly number: number,
    services: ThreadServices,
    drivers: SessionAccess['drivers'],
    readonly random: Random
  ) {
    const [arrived, transport] = arrivedInMemory({ id: number, listener, identity: { saslUserName: random.pick(['a', 'b']) } })
    const access = { drivers, policy: new Policy([], false, undefined) } as unknown as SessionAccess
    this.session = new ClientSession(services, access, {
      changed: () => undefined, opened: () => undefined, loginRefused: () => undefined, ended: () => undefined
    }, arrived)
    this.transport = transport()
    this.out = new CourseBytes(this.transport, random)
  }

  get closed(): boolean {
    return this.transport.closed
  }

  get state(): string {
    const { session, owed, streams, ending, transport, heard } = this
    const calls = [...owed].map(([serial, { proc }]) => `${serial}:${proc}`).join(' ')
    const flow = `${session.flow.calls.size} out, ${session.flow.waiting} waiting, ${this.out.isEmpty ? 'nothing' : 'something'} unread`
    const what = `registrations ${JSON.stringify([...heard])}, ${streams.size}+${ending.size} streams`
    return `client ${this.number}: ${session.state}, ${flow}, ${what}${transport.paused ? ', paused' : ''}; owed ${calls}`
  }

  get #opens(): boolean {
    for (const { proc } of this.owed.values()) if (proc === OPEN) return true
    return false
  }

  // What it does

  /** One thing, whatever it is; if it has no name open, that. */
  act(): void {
    const { random } = this
    if (this.leaves || this.closed) return
    if (this.#opens) return void (random.chance(0.2) && this.call())
    if (!this.isOpen) return void this.#post(OPEN, encodeOpen({ name: NAME, flags: 0 }))
    random.pick(this.#deeds)()
  }

  /** Each as often as it stands here. */
  readonly #deeds: readonly (() => void)[] = [
    () => this.call(),
    () => this.call(),
    () => this.call(),
    () => { for (let calls = this.random.integer(2, 12); calls > 0; calls--) this.call() },
    () => void this.#post(REMOTE.connectGetLibVersion),
    () => { for (let calls = this.random.integer(1, 6); calls > 0; calls--) this.#post(REMOTE.domainGetInfo, SAME) },
    () => void this.#post(REMOTE.domainGetInfo, SAME),
    () => void this.#post(REMOTE.secretLookupByUuid, pattern(16, this.number)),
    () => void this.#post(REMOTE.domainGetXmlDesc, pattern(40, this.number)),
    () => void this.#post(REMOTE.domainGetInfo, pattern(this.random.pick([5000, 70_000]), this.number)),
    () => void this.#post(this.random.pick(STREAMS), pattern(40, this.number)),
    () => void this.#post(this.random.pick(STREAMS), pattern(40, this.number)),
    () => this.upload(),
    () => this.upload(),
    () => this.endStream(),
    () => this.endStream(),
    () => { if (this.random.chance(0.2)) this.#post(REMOTE.domainCreateXml, Buffer.from([0, 0, 0, AUTODESTROY])) },
    () => void this.#post(ON, registrationArgs(this.random.integer(0, EVENTS))),
    () => void this.#post(ON, registrationArgs(this.random.integer(0, EVENTS))),
    () => { if (this.random.chance(0.3)) this.#post(MONITOR, ANY_MONITOR_EVENT, PROGRAM.qemu) },
    () => this.#deregister(),
    () => { if (this.random.chance(0.3)) this.#post(LISTEN) },
    () => { if (this.random.chance(0.3)) this.close() }
  ]

  call(): number {
    return this.#post(REMOTE.domainGetInfo, pattern(this.random.integer(0, 200), this.number + this.#serial))
  }

  close(): void {
    this.leaves = true
    this.#post(CLOSE)
  }

  #deregister(): void {
    const [key] = this.heard.keys()
    if (key === undefined) return
    const [prog, id] = key.split(':').map(Number)
    if (prog !== PROGRAM.remote) return
    this.heard.delete(key)
    this.#post(OFF, encodeCallbackId(id!))
  }

  upload(): void {
    const [stream] = this.streams
    if (stream === undefined) return
    const [serial, proc] = stream
    for (let packets = this.random.integer(1, 4); packets > 0; packets--) {
      this.#send(streamData({ prog: PROGRAM.remote, proc, serial }, Buffer.alloc(this.random.integer(1, 3000))))
    }
  }

  endStream(): void {
    const [stream] = this.streams
    if (stream === undefined) return
    const [serial, proc] = stream
    this.streams.delete(serial)
    this.ending.set(serial, proc)
    const how = this.random.chance(0.5) ? streamFinish : streamAbort
    this.#send(how({ prog: PROGRAM.remote, proc, serial }))
  }

  /** Its connection ends, or its direction of it. */
  die(): void {
    if (this.random.chance(0.3)) {
      this.leaves = true
      this.transport.handler.ended()
    } else this.transport.lose(104)
  }

  #post(proc: number, payload: Buffer = Buffer.alloc(0), prog: number = PROGRAM.remote): number {
    const serial = ++this.#serial
    this.owed.set(serial, { prog, proc, payload })
    this.#send(frame({ prog, proc, serial }, payload))
    return serial
  }

  #send(bytes: Buffer): void {
    this.out.push(bytes)
    if (this.random.chance(0.8)) this.out.flush(this.random.chance(0.1))
  }

  // What it gets

  drain(): void {
    if (this.transport.slow) this.transport.drain()
  }

  /** Takes what has come. Returns how many good answers there were. Throws at what must not come. */
  read(): number {
    const frames = this.transport.slow ? [] : this.transport.take()
    for (const one of frames) this.#take(one)
    return frames.filter(({ type, status }) => type === MESSAGE.reply && status === STATUS.ok).length
  }

  #take(one: Frame): void {
    if (one.prog === PROGRAM.keepalive) return
    if (one.type === MESSAGE.reply) return this.#replied(one)
    if (one.type === MESSAGE.stream) return this.#packet(one)
    if (one.proc !== REMOTE.connectEventConnectionClosed) return this.#hear(`${one.prog}:${decodeCallbackId(one.payload)}`)
    // The daemon has gone, and the client is not reconnected behind its back.
    this.heard.clear()
    this.isOpen = false
  }

  #replied({ serial, prog, proc, status, payload }: Frame): void {
    const call = this.owed.get(serial)
    if (call?.proc !== proc || call.prog !== prog) throw new Error(`a reply to no call came, ${proc} with serial ${serial}; ${this.state}`)
    this.owed.delete(serial)
    const ok = status === STATUS.ok
    if (prog === PROGRAM.remote && proc === OPEN) return this.#opened(ok)
    if (!ok) return
    if (prog === PROGRAM.qemu || proc === ON) this.heard.set(`${prog}:${decodeCallbackId(payload)}`, 0)
    else if (STREAMS.includes(proc)) this.streams.set(serial, proc)
    else if (proc === REMOTE.domainGetInfo && !payload.equals(call.payload)) throw new Error(`a wrong reply came; ${this.state}`)
  }

  #opened(ok: boolean): void {
    this.isOpen = ok
    this.heard.clear()
  }

  #packet({ serial, status }: Frame): void {
    if (status === STATUS.continue) return
    if (!this.streams.delete(serial) && !this.ending.delete(serial)) throw new Error(`a stream ended that is none; ${this.state}`)
  }

  #hear(key: string): void {
    const count = this.heard.get(key)
    if (count !== undefined) this.heard.set(key, count + 1)
  }
}
