import { expect } from 'chai'
import { errorReply, internalError, type RemoteError } from '#protocol/errors.js'
import { DISPOSITION, type Disposition } from '#protocol/frame-reader.js'
import { frameSerial, MESSAGE, readHeader, STATUS } from '#protocol/header.js'
import { CLOSE_REASON } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Counters } from '#workers/thread/counters.js'
import { Clock } from '#workers/base/clock.js'
import { LEGAL, type ConnectionState } from '#workers/driver/connection-state.js'
import { DriverConnection } from '#workers/driver/driver-connection.js'
import type { DriverUser } from '#workers/driver/driver-port.js'
import { DriverLinks } from '#workers/driver/driver-links.js'
import { Leaving } from '#workers/driver/leaving.js'
import { Turns } from '#workers/thread/turns.js'
import { Cleanup } from '../support/cleanup.js'
import { frame } from '../support/frame-socket.js'
import { MemoryTransport } from '../support/memory-transport.js'
import { pattern } from '../support/pattern.js'

const WINDOW = 2
/** One that waits for a hypervisor, and one that does not. */
const ORDINARY = REMOTE.domainGetInfo
const HIGH = REMOTE.connectGetLibVersion

/** A connection between a user that notes what it hears and a daemon that is the test. */
class Trial {
  readonly heard: string[] = []
  readonly relayed: Buffer[] = []
  /** Serials that the user has calls with. */
  readonly calls = new Set<number>()
  left = 0
  readonly leaving = new Leaving(() => this.left++)
  readonly figures = { driverConnections: 0 }
  readonly transport: MemoryTransport
  readonly connection: DriverConnection
  /** What own calls have come to. */
  readonly own: string[] = []

  constructor(clock: Clock) {
    const failed = (_: unknown, error: unknown): void => {
      throw error
    }
    const services = {
      clock,
      turns: new Turns(failed), counters: new Counters(),
      leaving: this.leaving, links: new DriverLinks(this.figures),
      io: { closer: { close: () => undefined } as never },
      settings: { keepalive: { intervalMs: 0, count: 0 }, driverMaxRequests: WINDOW }
    }
    let made: MemoryTransport | undefined
    const { judge, driverEvents, replies } = this.user()
    const user: DriverUser = {
      session: { close: () => this.heard.push('closed') },
      judge, driverEvents, replies,
      relayed: { inPassedFrame: false, cutAtFrameEnd: () => undefined },
      sender: undefined,
      use: () => undefined
    }
    this.connection = new DriverConnection(services, user, handler => (made = new MemoryTransport(handler)))
    this.transport = made!
  }

  user(): Pick<DriverUser, 'judge' | 'driverEvents' | 'replies'> {
    return {
      judge: {
        bound: false,
        onlyReads: true,
        replied: (bytes, at) => (this.calls.delete(frameSerial(bytes, at)) ? DISPOSITION.pass : undefined),
        streamPacket: () => undefined,
        event: () => DISPOSITION.pass,
        driverId: (_, id) => id
      },
      driverEvents: {
        driverJudged: () => undefined,
        driverDrained: () => this.heard.push('drained'),
        driverLost: (_, { message }, reason, cut) => this.heard.push(`lost: ${message}, ${reason}, ${cut}`),
        driverViolated: what => this.heard.push(what)
      },
      replies: {
        carriesDescriptors: false,
        relay: (bytes, from, to) => this.relayed.push(Buffer.from(bytes.subarray(from, to))),
        relayWithDescriptors: () => undefined,
        write: bytes => this.relayed.push(bytes)
      }
    }
  }

  begin(proc: number, serial: number): Disposition {
    const disposition = this.connection.begin(frame({ proc, serial }), 0)
    if (disposition === DISPOSITION.pass) this.calls.add(serial)
    return disposition
  }

  reply(proc: number, serial: number, payload?: Buffer): void {
    this.transport.receive(frame({ proc, serial, type: MESSAGE.reply }, payload))
  }

  call(proc: number): void {
    this.connection.call(proc).then(
      body => this.own.push(`${body.length} bytes`),
      (error: RemoteError) => this.own.push(error.message)
    )
  }
}

/** What brings a connection into each state. */
const INTO: Record<ConnectionState, (trial: Trial) => void> = {
  opening: () => undefined,
  serving: ({ connection }) => void connection.serve(),
  leaving: ({ connection }) => {
    connection.serve()
    connection.leave()
  },
  closed: ({ connection }) => connection.close()
}

/** What asks for each state, and whether it came to that. */
const ASKING: Partial<Record<ConnectionState, (trial: Trial) => boolean>> = {
  serving: ({ connection }) => connection.serve(),
  leaving: ({ connection, transport, leaving }) => {
    const before = leaving.size
    connection.leave()
    return leaving.size > before && !transport.closed
  },
  closed: ({ connection, transport }) => {
    const before = transport.closed
    connection.close()
    return transport.closed && !before
  }
}

describe('a connection to a driver daemon', () => {
  const cleanup = new Cleanup()
  const clock = new Clock(() => undefined)
  cleanup.defer(() => Promise.resolve(clock.stop()))
  after(() => cleanup.run())

  for (const from of Object.keys(LEGAL) as ConnectionState[]) {
    for (const [to, ask] of Object.entries(ASKING) as [ConnectionState, (trial: Trial) => boolean][]) {
      const legal = LEGAL[from].includes(to)
      it(`that is ${from} ${legal ? 'may be' : 'does not come to be'} ${to}`, () => {
        const trial = new Trial(clock)
        INTO[from](trial)
        expect(ask(trial)).to.equal(legal)
        trial.connection.close()
        expect([trial.leaving.size, trial.figures.driverConnections]).to.deep.equal([0, 0])
      })
    }
  }

  it('tells of its loss while it is opened only by the failure of the calls that open it', async () => {
    const trial = new Trial(clock)
    trial.call(REMOTE.connectOpen)
    trial.transport.lose(104)
    await Promise.resolve().then(() => undefined)
    expect(trial.own).to.deep.equal(['Cannot recv data: Connection reset by peer'])
    expect(trial.heard).to.deep.equal([])
    expect(trial.connection.serve()).to.equal(false)
  })

  it('tells its user of its loss, once', () => {
    const trial = new Trial(clock)
    trial.connection.serve()
    trial.transport.lose(0)
    trial.connection.close()
    const what = 'End of file while reading data: Input/output error'
    expect(trial.heard).to.deep.equal([`lost: ${what}, ${CLOSE_REASON.endOfFile}, false`])
  })

  it('tells nobody of its loss while it leaves', () => {
    const trial = new Trial(clock)
    INTO.leaving(trial)
    trial.transport.lose(0)
    expect([trial.heard, trial.left, trial.leaving.size]).to.deep.equal([[], 1, 0])
  })

  it('leaves with a goodbye, and is closed when that is answered', () => {
    const trial = new Trial(clock)
    INTO.leaving(trial)
    const [goodbye] = trial.transport.take()
    expect(goodbye).to.include({ proc: REMOTE.connectClose, type: MESSAGE.call })
    expect(trial.transport.closed).to.equal(false)
    trial.reply(REMOTE.connectClose, goodbye!.serial)
    expect([trial.transport.closed, trial.left]).to.deep.equal([true, 1])
  })

  it('is simply closed when too many others leave', () => {
    const trial = new Trial(clock)
    while (trial.leaving.enter());
    INTO.leaving(trial)
    expect([trial.transport.closed, trial.transport.take().length]).to.deep.equal([true, 0])
  })

  it('takes as many calls as its window has, and one more that waits for no hypervisor', () => {
    const { pass, hold } = DISPOSITION
    const trial = new Trial(clock)
    trial.connection.serve()
    expect([trial.begin(ORDINARY, 1), trial.begin(HIGH, 2)]).to.deep.equal([pass, pass])
    expect([trial.begin(ORDINARY, 3), trial.begin(HIGH, 4), trial.begin(HIGH, 5)]).to.deep.equal([hold, pass, hold])
    expect(trial.connection.paused, 'its silence means nothing').to.equal(true)
    trial.reply(HIGH, 4)
    expect([trial.begin(ORDINARY, 3), trial.connection.paused]).to.deep.equal([hold, false])
    trial.reply(ORDINARY, 1)
    expect(trial.begin(ORDINARY, 3)).to.equal(pass)
  })

  it('passes on a reply of up to 1 MiB when it is whole, and a longer one as it comes', () => {
    const trial = new Trial(clock)
    trial.connection.serve()
    for (const [serial, bytes] of [[1, 1000], [2, 2 ** 21]] as const) {
      trial.begin(ORDINARY, serial)
      const reply = frame({ proc: ORDINARY, serial, type: MESSAGE.reply }, pattern(bytes))
      trial.transport.receive(reply, 400)
      expect(Buffer.concat(trial.relayed.splice(0)).equals(reply)).to.equal(true)
    }
    expect(trial.begin(ORDINARY, 3)).to.equal(DISPOSITION.pass)
    const cut = frame({ proc: ORDINARY, serial: 3, type: MESSAGE.reply }, pattern(2 ** 21))
    trial.transport.receive(cut.subarray(0, 100))
    trial.transport.lose(0)
    expect(trial.heard.at(-1)).to.match(/, true$/)
  })

  it('answers own calls itself, in whatever pieces the replies come', async () => {
    const trial = new Trial(clock)
    for (const size of [Infinity, 10, 28, 30]) {
      trial.call(REMOTE.connectGetUri)
      const [{ serial } = { serial: -1 }] = trial.transport.take()
      trial.transport.receive(frame({ proc: REMOTE.connectGetUri, serial, type: MESSAGE.reply }, pattern(40)), size)
    }
    trial.call(REMOTE.connectOpen)
    trial.transport.receive(errorReply(readHeader(trial.transport.take()[0]!.bytes), internalError('no')))
    await Promise.resolve().then(() => undefined)
    expect(trial.own).to.deep.equal([...Array<string>(4).fill('40 bytes'), 'internal error: no'])
    expect(trial.relayed).to.deep.equal([])
  })

  it('lets each own call fail that is made after its end', async () => {
    const trial = new Trial(clock)
    trial.call(REMOTE.connectOpen)
    trial.transport.lose(104)
    // Of several that are made one after the other: the second before anybody has heard of the end.
    trial.call(REMOTE.connectSetIdentity)
    await Promise.resolve().then(() => undefined)
    expect(trial.own).to.deep.equal(Array(2).fill('Cannot recv data: Connection reset by peer'))
  })

  for (const [what, bytes] of [
    ['a reply to no call', frame({ proc: ORDINARY, serial: 9, type: MESSAGE.reply })],
    ['a call', frame({ proc: ORDINARY, serial: 9 })],
    ['a hole that failed where there is no stream', frame({ proc: ORDINARY, serial: 9, type: MESSAGE.reply, status: STATUS.error })],
    ['a frame of illegal length', Buffer.alloc(28)]
  ] as const) {
    it(`ends at ${what}`, () => {
      const trial = new Trial(clock)
      trial.connection.serve()
      trial.transport.receive(bytes)
      expect(trial.heard.map(line => line.replace(/:.*/, ''))).to.deep.equal(['driver daemon broke the protocol', 'lost'])
      expect(trial.transport.closed).to.equal(true)
    })
  }
})
