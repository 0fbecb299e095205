import { expect } from 'chai'
import { stopping } from '#protocol/broker-errors.js'
import { decodeError } from '#protocol/errors.js'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { CLOSE_REASON, decodeCloseReason } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Clock } from '#workers/base/clock.js'
import { Cleanup } from '../support/cleanup.js'
import { frame, ping } from '../support/frame-socket.js'
import { MemorySession, settle } from '../support/memory-session.js'
import { pattern } from '../support/pattern.js'

const CALL = REMOTE.domainGetInfo
const CONSOLE = REMOTE.domainOpenConsole
const consoleArguments = (): Buffer => new XdrWriter().u32(0).u32(0).finish()

describe('a session that is drained', () => {
  const cleanup = new Cleanup()
  const clock = new Clock(() => undefined)
  cleanup.defer(() => Promise.resolve(clock.stop()))
  after(() => cleanup.run())

  async function open(): Promise<MemorySession> {
    const trial = new MemorySession(clock, 'own')
    await trial.open()
    return trial
  }

  it('is closed at once, and in order, when nothing of it is in flight', async () => {
    const trial = await open()
    trial.session.leave.drain()
    expect([trial.session.state, trial.ended, trial.port.state]).to.deep.equal(['closed', 'the broker stops', 'left'])
    expect(trial.take()).to.deep.equal([])
  })

  it('is closed at once when it is not in', () => {
    for (const auth of ['polkit', 'none'] as const) {
      const trial = new MemorySession(clock, 'own', { auth })
      trial.session.leave.drain()
      expect(trial.ended).to.equal('the broker stops')
    }
  })

  it('is closed when it has opened nothing, but not before CONNECT_OPEN is answered', async () => {
    const idle = new MemorySession(clock, 'own')
    idle.call(REMOTE.authList)
    idle.session.leave.drain()
    expect(idle.session.state).to.equal('closed')
    const opens = new MemorySession(clock, 'own')
    opens.connectOpen()
    opens.session.leave.drain()
    expect([opens.session.state, opens.session.leave.unfinished]).to.deep.equal(['opening', { calls: 1, streams: 0 }])
    opens.drivers.last.succeed()
    await settle()
    expect(opens.take().map(({ status }) => status)).to.deep.equal([STATUS.ok])
    expect([opens.session.state, opens.port.state]).to.deep.equal(['closed', 'left'])
  })

  it('has calls answered that are with the daemon or wait for it, and none that come later', async () => {
    const trial = await open()
    trial.port.window = 1
    const serials = [trial.call(CALL), trial.call(CALL), trial.call(CALL)]
    trial.session.leave.drain()
    expect(trial.session.leave.unfinished).to.deep.equal({ calls: 3, streams: 0 })
    trial.call(CALL)
    trial.call(REMOTE.connectGetUri)
    trial.transport.receive(frame({ prog: 1, proc: 1, serial: 77 }))
    for (let i = 0; i < 3; i++) {
      expect(trial.session.state).to.equal('open')
      trial.port.reply(trial.port.take()[0]!)
    }
    expect(trial.take().map(({ serial }) => serial)).to.deep.equal(serials)
    expect([trial.session.state, trial.port.take()]).to.deep.equal(['closed', []])
  })

  it('has calls carried out that came before, though nobody had looked at them yet', async () => {
    const trial = await open()
    trial.transport.hasUnread = true
    trial.session.leave.drain()
    expect(trial.session.state).to.equal('open')
    trial.transport.hasUnread = false
    const serials = [trial.call(CALL), trial.call(REMOTE.connectGetUri)]
    trial.session.leave.closeIfDrained()
    expect(trial.session.state).to.equal('open')
    trial.port.reply(trial.port.take()[0]!)
    expect(trial.take().map(({ serial }) => serial).sort()).to.deep.equal(serials)
    expect(trial.session.state).to.equal('closed')
  })

  it('has a call carried out of which the first part had come', async () => {
    const trial = await open()
    const call = frame({ proc: CALL, serial: 50 }, pattern(100))
    trial.transport.receive(call.subarray(0, 70))
    trial.session.leave.drain()
    trial.transport.receive(call.subarray(70))
    trial.port.reply(trial.port.take()[0]!)
    expect(trial.take().map(({ serial }) => serial)).to.deep.equal([50])
    expect(trial.session.state).to.equal('closed')
  })

  it('waits for its client alone when all is done but the rest of a frame that it has begun', async () => {
    const trial = await open()
    trial.call(CALL)
    trial.transport.receive(frame({ proc: CALL, serial: 50 }, pattern(100)).subarray(0, 70))
    expect(trial.session.leave.waitsForClient).to.equal(false)
    trial.session.leave.drain()
    expect(trial.session.leave.waitsForClient, 'another call is out').to.equal(false)
    trial.port.reply(trial.port.take()[0]!)
    expect(trial.session.leave.waitsForClient).to.equal(true)
    trial.session.leave.giveUp()
    expect([trial.session.state, trial.ended]).to.deep.equal(['closed', 'the broker stops'])
  })

  it('has CONNECT_OPEN answered when the time is over', async () => {
    const opens = new MemorySession(clock, 'own')
    opens.connectOpen()
    opens.session.leave.drain()
    opens.session.leave.cutOff(stopping())
    await settle()
    const [{ status, bytes } = { status: -1, bytes: Buffer.alloc(0) }, ...more] = opens.take()
    expect([status, more]).to.deep.equal([STATUS.error, []])
    expect(decodeError(bytes, 28, bytes.length).message).to.equal(stopping().message)
    expect(opens.session.state).to.equal('closed')
  })

  it('has its stream to the end, and pings answered meanwhile', async () => {
    const trial = await open()
    const serial = trial.call(CONSOLE, consoleArguments())
    trial.port.reply(trial.port.take()[0]!)
    trial.take()
    trial.session.leave.drain()
    expect(trial.session.leave.unfinished).to.deep.equal({ calls: 0, streams: 1 })
    const packet = (status: number, payload?: Buffer): Buffer => frame({ proc: CONSOLE, serial, type: MESSAGE.stream, status }, payload)
    trial.transport.receive(packet(STATUS.continue, pattern(10)))
    trial.transport.receive(ping())
    trial.call(CALL)
    trial.port.send(packet(STATUS.continue, pattern(20)))
    trial.transport.receive(packet(STATUS.ok))
    expect(trial.port.take().map(({ type }) => type)).to.deep.equal([MESSAGE.stream, MESSAGE.stream])
    expect(trial.session.state).to.equal('open')
    trial.port.send(packet(STATUS.ok))
    expect(trial.take().map(({ type, status }) => [type, status])).to.deep.equal([
      [MESSAGE.event, STATUS.ok], [MESSAGE.stream, STATUS.continue], [MESSAGE.stream, STATUS.ok]
    ])
    expect(trial.session.state).to.equal('closed')
  })

  it('may still ask to be let go, and is answered', async () => {
    const trial = await open()
    trial.call(CONSOLE, consoleArguments())
    trial.port.reply(trial.port.take()[0]!)
    trial.take()
    trial.session.leave.drain()
    const serial = trial.call(REMOTE.connectClose)
    expect(trial.take().map(reply => reply.serial)).to.deep.equal([serial])
    expect([trial.session.state, trial.ended]).to.deep.equal(['closed', 'closed by the client'])
  })

  it('gets its event, behind its last answer, if it has asked for that', async () => {
    for (const register of [true, false]) {
      const trial = await open()
      for (const proc of [REMOTE.connectRegisterCloseCallback, ...register ? [] : [REMOTE.connectUnregisterCloseCallback]]) {
        trial.call(proc)
        trial.port.reply(trial.port.take()[0]!)
      }
      const serial = trial.call(CALL)
      trial.session.leave.drain()
      trial.take()
      trial.port.reply(trial.port.take()[0]!)
      const [reply, ...events] = trial.take()
      expect(reply!.serial).to.equal(serial)
      expect(events.map(({ proc, payload }) => [proc, decodeCloseReason(payload)])).to.deep.equal(
        register ? [[REMOTE.connectEventConnectionClosed, CLOSE_REASON.endOfFile]] : []
      )
      expect(trial.session.state).to.equal('closed')
    }
  })

  it('has the answers written that it is slow to take', async () => {
    const trial = await open()
    trial.call(CALL)
    trial.session.leave.drain()
    trial.transport.slow = true
    trial.port.reply(trial.port.take()[0]!)
    expect(trial.session.state).to.equal('open')
    trial.transport.drain()
    trial.session.leave.closeIfDrained()
    expect(trial.ended).to.equal('the broker stops')
  })

  it('is told of the loss of its daemon, and then closed', async () => {
    const trial = await open()
    const serial = trial.call(CALL)
    trial.session.leave.drain()
    trial.port.lose()
    expect(trial.take().map(reply => [reply.serial, reply.status])).to.deep.equal([[serial, STATUS.error]])
    expect(trial.session.state).to.equal('closed')
  })

  it('has what is not done end with an error when the time is over, and its daemon is not waited for', async () => {
    const trial = await open()
    const stream = trial.call(CONSOLE, consoleArguments())
    trial.port.reply(trial.port.take()[0]!)
    trial.port.window = 1
    const calls = [trial.call(CALL), trial.call(CALL)]
    trial.take()
    trial.session.leave.drain()
    expect(trial.session.leave.unfinished).to.deep.equal({ calls: 2, streams: 1 })
    trial.session.leave.cutOff(stopping())
    const told = trial.take()
    expect(told.map(({ type, serial, status }) => [type, serial, status])).to.deep.equal([
      ...calls.map(serial => [MESSAGE.reply, serial, STATUS.error]), [MESSAGE.stream, stream, STATUS.error]
    ])
    for (const { payload } of told) expect(decodeError(payload).message).to.equal('the broker was stopped while this was in progress')
    expect([trial.session.state, trial.port.state]).to.deep.equal(['closed', 'closed'])
  })

  it('has its CONNECT_OPEN given up when the time is over', async () => {
    const trial = new MemorySession(clock, 'own')
    trial.connectOpen()
    trial.session.leave.drain()
    trial.session.leave.cutOff(stopping())
    expect([trial.session.state, trial.drivers.last.abandoned]).to.deep.equal(['closed', true])
    await settle()
    expect(trial.failures).to.deep.equal([])
  })

  it('does not wait for the rest of what its daemon has begun to say when the time is over', async () => {
    const trial = await open()
    trial.call(CALL)
    trial.session.leave.drain()
    trial.port.inPassedFrame = true
    trial.session.leave.cutOff(stopping())
    expect([trial.session.state, trial.port.state]).to.deep.equal(['closed', 'closed'])
  })
})
