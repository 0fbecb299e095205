import { expect } from 'chai'
import { driverClosed } from '#protocol/broker-errors.js'
import { errorReply } from '#protocol/errors.js'
import { DISPOSITION } from '#protocol/frame-reader.js'
import { MESSAGE, readHeader } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { frame } from '../support/frame-socket.js'
import { settle } from '../support/memory-session.js'
import { pattern } from '../support/pattern.js'
import { eachTrial, type TimedTrial } from '../support/shared-trial.js'

const CALL = REMOTE.domainGetInfo
const GOODBYE = REMOTE.connectClose
const MiB = 2 ** 20

describe('shared driver connections and what they bound', () => {
  let trial: TimedTrial
  eachTrial(made => (trial = made))

  it('take the calls of one turn in one write, in their order, however long they are', async () => {
    trial.settings.driverMaxRequests = 8
    const all = await trial.guests(5)
    const [upstream] = trial.upstreams
    const before = upstream!.transport.writes
    const lengths = [100, 200, 5000, 3000, 3000]
    all.forEach((guest, i) => guest.call(CALL, pattern(lengths[i]!, i)))
    expect(upstream!.transport.frames, 'before the turn is over').to.have.length(4)
    await settle()
    const calls = upstream!.take()
    expect(calls.map(({ payload }, i) => payload.equals(pattern(lengths[i]!, i)))).to.deep.equal([true, true, true, true, true])
    // The first two, the long one, and two that do not fit together.
    expect(upstream!.transport.writes - before).to.equal(4)
  })

  it('are closed at once when nobody waits for what is out on them', async () => {
    const all = await trial.guests(4)
    for (const guest of all) guest.call(CALL)
    await settle()
    const [first, second] = trial.upstreams
    const [a, b, c, d] = all
    expect([first!.take().length, second!.take().length]).to.deep.equal([2, 2])
    const onSecond = all.filter(guest => guest !== a && guest !== b)
    expect(onSecond).to.deep.equal([c, d])
    c!.port.close()
    expect(second!.closed, 'one waits').to.equal(false)
    d!.port.close()
    expect([first!.closed, second!.closed]).to.deep.equal([false, true])
    expect([a, b].map(guest => guest!.heard)).to.deep.equal([[], []])
  })

  it('stay all the same while there is no other to that daemon, and go as soon as there is', async () => {
    trial.settings.driverPoolSize = 1
    const [gone, stays] = await trial.guests(2)
    gone!.call(CALL)
    gone!.call(CALL)
    await settle()
    const [only] = trial.upstreams
    only!.take()
    gone!.port.close()
    expect(only!.closed).to.equal(false)
    stays!.call(CALL)
    await trial.time.until('another, because those calls are stuck', () => trial.upstreams[1])
    await settle()
    expect(trial.upstreams[1]!.procedures()).to.deep.equal([CALL])
    expect([only!.closed, stays!.heard]).to.deep.equal([true, []])
  })

  it('go when the last session has gone, with calls out or without', async () => {
    const [a] = await trial.guests(1)
    a!.call(CALL)
    trial.upstreams[0]!.take()
    a!.port.close()
    expect([trial.upstreams[0]!.closed, trial.pool.size]).to.deep.equal([true, 0])
  })

  it('are replaced before they go when a daemon has lost another one that it needs', async () => {
    trial.settings.driverPoolSize = 1
    const [a] = await trial.guests(1)
    a!.call(REMOTE.secretLookupByUuid)
    const [upstream] = trial.upstreams
    upstream!.transport.receive(errorReply(readHeader(upstream!.take()[0]!.bytes), driverClosed()))
    expect(upstream!.procedures(), 'the only one').to.deep.equal([])
    a!.call(CALL)
    await settle()
    expect([upstream!.procedures(), trial.upstreams[1]!.procedures()]).to.deep.equal([[GOODBYE], [CALL]])
  })

  it('make room for others when a daemon does not answer the next', async () => {
    await trial.open({ saslUserName: 'a' })
    await trial.open({ saslUserName: 'b' })
    const [, idle] = trial.upstreams
    let answer: (() => void) | undefined
    trial.drivers.gate = new Promise(resolve => (answer = resolve))
    const next = trial.open({ saslUserName: 'c' })
    await trial.time.until('the goodbye', () => idle!.procedures().includes(GOODBYE))
    answer!()
    await next
    expect(trial.upstreams[0]!.closed).to.equal(false)
  })

  it('serve neighbours of a slow reader, of half a call, and of a call that hangs, in the turn in which they call', async () => {
    trial.settings.driverPoolSize = 1
    trial.settings.driverMaxRequests = 30
    const [slow, unfinished, hanging, neighbour] = await trial.guests(4)
    const [upstream] = trial.upstreams
    for (let i = 0; i < 20; i++) slow!.call(CALL)
    slow!.port.pause()
    for (const call of upstream!.take()) {
      upstream!.reply(call, Buffer.alloc(MiB - 100))
      await settle()
    }
    const half = frame({ proc: CALL, serial: 7 }, pattern(60_000)).subarray(0, 100)
    expect(unfinished!.port.begin(half, 0, false)).to.equal(DISPOSITION.collect)
    hanging!.call(CALL, pattern(4))
    upstream!.take()
    for (let i = 0; i < 100; i++) {
      trial.turns.polled()
      neighbour!.call(CALL, pattern(50, i))
      const [call] = upstream!.take()
      upstream!.reply(call!, call!.payload, 20)
      expect(neighbour!.answers().map(({ payload }) => payload)).to.deep.equal([pattern(50, i).toString('latin1')])
    }
    expect([trial.upstreams.length, slow!.heard, slow!.taken().length]).to.deep.equal([1, [], 20 * (MiB - 72)])
  })

  it('are read for a client that does not read, until it has the most of 64 MiB', async () => {
    const [slow, slower, quick] = await trial.guests(3)
    trial.settings.driverMaxRequests = 200
    for (const [guest, count] of [[slow!, 20], [slower!, 60]] as const) {
      for (let i = 0; i < count; i++) guest.call(CALL)
      guest.port.pause()
    }
    const [upstream] = trial.upstreams
    const reply = Buffer.alloc(MiB - 100)
    const calls = upstream!.take()
    let answered = 0
    for (const { serial } of calls) {
      upstream!.transport.receive(frame({ proc: CALL, serial, type: MESSAGE.reply }, reply))
      answered++
      await settle()
      if (slower!.heard.length > 0) break
    }
    expect(slower!.heard).to.deep.equal(['closed: does not read the replies to its calls'])
    expect(answered, 'MiB').to.equal(65)
    expect([slow!.heard, upstream!.transport.paused]).to.deep.equal([[], false])
    quick!.call(CALL)
    upstream!.reply(upstream!.take()[0]!)
    expect(quick!.answers()).to.have.length(1)
  })
})
