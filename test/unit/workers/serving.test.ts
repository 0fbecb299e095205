import { expect } from 'chai'
import { decodeError, internalError } from '#protocol/errors.js'
import { FrameReader } from '#protocol/frame-reader.js'
import { encodeFrame, MESSAGE, PROGRAM, readHeader, STATUS, type Header } from '#protocol/header.js'
import { XdrReader } from '#protocol/xdr.js'
import { Clock } from '#workers/base/clock.js'
import type { Procedure, Programs } from '#workers/serving/dispatch.js'
import type { Hold, LinkInput } from '#workers/serving/held-input.js'
import type { Link } from '#workers/serving/link.js'
import { ServerSession, type Connection, type Service } from '#workers/serving/server-session.js'

const PROG = 0x20564221
const CALL: Header = { prog: PROG, vers: 1, proc: 1, type: MESSAGE.call, serial: 0, status: STATUS.ok }

/** What the service of these tests keeps of its client. */
interface Guest {
  readonly connection: Connection
  calls: number
}

/** A link in memory, which gives what comes to the session as a socket would, and keeps what it sends. */
class MemoryLink implements Link, LinkInput {
  readonly input = this
  readonly reader: FrameReader
  readonly sent: { header: Header; payload: Buffer }[] = []
  readonly holds = new Set<Hold>()
  congested = false
  closed = false
  readonly session: ServerSession<Guest>
  #rest = Buffer.alloc(0)

  constructor(service: Service<Guest>, closer: { close(descriptor: number): void }, clock: Clock) {
    const connected = (connection: Connection): Guest => ({ connection, calls: 0 })
    this.session = new ServerSession(this, { service, closer, clock, connected, gone: () => undefined })
    this.reader = new FrameReader(this.session)
  }
  get held(): boolean {
    return this.holds.size > 0
  }
  hold(why: Hold): void {
    this.holds.add(why)
    this.reader.yield()
  }
  release(why: Hold): void {
    this.holds.delete(why)
    this.receive()
  }
  spend(): void {
    // There is nobody else.
  }
  send(frame: Buffer): void {
    if (!this.closed) this.sent.push({ header: readHeader(frame, 0), payload: frame.subarray(28) })
  }
  sendWithDescriptors(frame: Buffer): void {
    this.send(frame)
  }
  close(): void {
    this.closed = true
    this.reader.stop()
  }
  receive(...frames: Buffer[]): void {
    this.#rest = Buffer.concat([this.#rest, ...frames])
    if (this.held) return
    const bytes = this.#rest
    const at = this.reader.push(bytes, 0, bytes.length)
    this.#rest = Buffer.from(bytes.subarray(at))
    this.session.judged(at === bytes.length)
  }
}

describe('the RPC server', () => {
  const clock = new Clock((_, error) => {
    throw error
  })
  after(() => clock.stop())

  /** A server with one program, and what it saw. */
  function serving(...procedures: Procedure<Guest>[]) {
    const seen = { failures: [] as unknown[], answered: 0, left: 0, closed: [] as number[] }
    const programs: Programs<Guest> = new Map([[PROG, [undefined, ...procedures]]])
    const service: Service<Guest> = {
      programs,
      maxFrameBytes: 1000,
      answered: () => void seen.answered++,
      left: () => void seen.left++,
      failed: error => void seen.failures.push(error)
    }
    const link = new MemoryLink(service, { close: descriptor => void seen.closed.push(descriptor) }, clock)
    return { link, seen }
  }
  const call = (proc: number, serial: number, over: Partial<Header> = {}, payload?: Buffer): Buffer =>
    encodeFrame({ ...CALL, proc, serial, ...over }, payload)
  const message = (payload: Buffer): string => decodeError(payload).message

  it('serves whatever program it is given, with its own errors', () => {
    const { link, seen } = serving(
      ({ client, reply }) => void reply.u32(++client.calls),
      () => {
        throw internalError('No server named x')
      }
    )
    link.receive(call(1, 7), call(2, 8))
    const [answer, refusal] = link.sent
    expect(answer!.header).to.deep.equal({ ...CALL, type: MESSAGE.reply, serial: 7 })
    expect(new XdrReader(answer!.payload).u32()).to.equal(1)
    expect([refusal!.header.serial, refusal!.header.status]).to.deep.equal([8, STATUS.error])
    expect(message(refusal!.payload)).to.equal('internal error: No server named x')
    expect([seen.answered, seen.failures]).to.deep.equal([2, []])
  })

  it('refuses what names no procedure, and arguments that do not decode', () => {
    const { link } = serving(({ args }) => void args.u64())
    link.receive(
      call(1, 0, { prog: PROGRAM.remote }), call(1, 1, { vers: 2 }), call(3, 2), call(0, 3), call(1, 4, { status: 9 }), call(1, 5)
    )
    expect(link.sent.map(({ payload }) => message(payload))).to.deep.equal([
      `Cannot find program ${PROGRAM.remote} version 1`,
      `Cannot find program ${PROG} version 2`,
      'unknown procedure: 3',
      'unknown procedure: 0',
      'Unexpected message status 9',
      'Unable to decode message payload'
    ])
  })

  it('closes on a frame that is longer than is served', () => {
    const { link, seen } = serving(({ reply }) => void reply.u32(1))
    link.receive(call(1, 0, {}, Buffer.alloc(972)), call(1, 1, {}, Buffer.alloc(976)), call(1, 2))
    expect(link.sent.map(({ header }) => header.serial)).to.deep.equal([0])
    expect([link.closed, seen.left]).to.deep.equal([true, 1])
  })

  it('answers calls in their order, also those that take their time', async () => {
    const waiting: (() => void)[] = []
    const { link } = serving(
      async ({ reply }) => {
        await new Promise<void>(resolve => waiting.push(resolve))
        reply.u32(1)
      },
      ({ reply }) => void reply.u32(2)
    )
    link.receive(call(1, 0), call(2, 1), call(1, 2), call(2, 3))
    expect([link.sent.length, [...link.holds]]).to.deep.equal([0, ['busy']])
    for (let done = 1; done <= 2; done++) {
      waiting.shift()!()
      await new Promise(setImmediate)
      expect(link.sent.map(({ header }) => header.serial)).to.deep.equal([0, 1, 2, 3].slice(0, 2 * done))
    }
    expect([...link.holds]).to.deep.equal([])
  })

  it('tells of a failure nobody expected, and lets a promise fail as anything else', async () => {
    const failure = new Error('odd')
    const { link, seen } = serving(() => Promise.reject(internalError('late')), () => Promise.reject(failure))
    link.receive(call(1, 0), call(2, 1))
    while (link.sent.length < 2) await new Promise(setImmediate)
    expect(link.sent.map(({ payload }) => message(payload))).to.deep.equal(['internal error: late', 'internal error: odd'])
    expect(seen.failures).to.deep.equal([failure])
  })

  it('answers nothing after its client has gone, and lets go of it once', async () => {
    let finish = (): void => undefined
    const { link, seen } = serving(() => new Promise<void>(resolve => (finish = resolve)))
    link.receive(call(1, 0), call(1, 1))
    link.session.lost()
    link.close()
    finish()
    await new Promise(setImmediate)
    expect([link.sent, seen.left, seen.answered]).to.deep.equal([[], 1, 0])
  })

  it('runs streams under the program and procedure that opened them', () => {
    const parts = [Buffer.from('abcd'), 'end' as const]
    const { link } = serving(() => ({ supply: () => parts.shift() }))
    link.receive(call(1, 5))
    expect(link.sent.map(({ header: { prog, proc, type, serial, status } }) => [prog, proc, type, serial, status])).to.deep.equal([
      [PROG, 1, MESSAGE.reply, 5, STATUS.ok],
      [PROG, 1, MESSAGE.stream, 5, STATUS.continue],
      [PROG, 1, MESSAGE.stream, 5, STATUS.continue]
    ])
  })

  it('closes descriptors that no procedure takes, when the call is over', async () => {
    let finish = (): void => undefined
    const { link, seen } = serving(({ descriptors }) => {
      descriptors.shift()
      return new Promise<void>(resolve => (finish = resolve))
    })
    link.session.receivedDescriptors([70, 71, 72])
    const count = Buffer.from([0, 0, 0, 3])
    link.receive(call(1, 0, { type: MESSAGE.callWithFds }, count), Buffer.alloc(3))
    expect(seen.closed).to.deep.equal([])
    finish()
    await new Promise(setImmediate)
    expect(seen.closed).to.deep.equal([71, 72])
  })

  it('says that it lives while it does not read', async () => {
    const { link } = serving(() => undefined)
    link.receive(call(1, 1, { prog: PROGRAM.keepalive, type: MESSAGE.event }))
    link.hold('congested')
    link.session.inputHeld()
    while (link.sent.length < 3) await new Promise(setImmediate)
    const pong = [PROGRAM.keepalive, 2, MESSAGE.event]
    expect(link.sent.map(({ header: { prog, proc, type } }) => [prog, proc, type])).to.deep.equal([pong, pong, pong])
  })
})
