import { expect } from 'chai'
import { driverClosed } from '#protocol/broker-errors.js'
import { errorReply, internalError, systemError, undecodable, type RemoteError } from '#protocol/errors.js'
import { readHeader } from '#protocol/header.js'
import { encodeCallbackId } from '#protocol/messages/events.js'
import { REMOTE } from '#protocol/procedures.js'
import { encodeDomain, registrationArgs } from '../support/event-daemon.js'
import type { Frame } from '../support/frame-socket.js'
import { settle } from '../support/memory-session.js'
import { eachTrial, type MemoryGuest, type TimedTrial, type Upstream } from '../support/shared-trial.js'

const CALL = REMOTE.domainGetInfo
const GOODBYE = REMOTE.connectClose
const STORAGE = REMOTE.storagePoolRefresh
const NETWORK = REMOTE.networkLookupByName
const {
  connectDomainEventCallbackRegisterAny: DOMAINS, connectDomainEventCallbackDeregisterAny: DOMAINS_OFF,
  connectNetworkEventRegisterAny: NETWORKS
} = REMOTE
const latin = (text: string): Buffer => Buffer.from(text, 'latin1')

describe('shared driver connections, and other daemons that a driver daemon needs', () => {
  let trial: TimedTrial
  eachTrial(made => (trial = made))

  const fail = (upstream: Upstream, { bytes }: Frame, error: RemoteError): void =>
    upstream.transport.receive(errorReply(readHeader(bytes), error))

  describe('are not given up', () => {
    it('for what a client has done wrong, nor for a daemon that is not there', async () => {
      trial.settings.driverPoolSize = 1
      const [hostile, neighbour] = await trial.guests(2)
      const [upstream] = trial.upstreams
      const errors = [
        undecodable(), internalError('maxnames > REMOTE_NETWORK_NAME_LIST_MAX'),
        systemError(2, 'Failed to connect socket to \'/run/libvirt/virtnetworkd-sock\': No such file or directory')
      ]
      for (const error of errors) {
        hostile!.call(NETWORK, Buffer.alloc(3))
        fail(upstream!, upstream!.take()[0]!, error)
        neighbour!.call(CALL)
        const [call] = upstream!.take()
        expect(call?.proc, error.message).to.equal(CALL)
        upstream!.reply(call!)
      }
      expect([trial.upstreams.length, neighbour!.answers().length]).to.deep.equal([1, 3])
    })

    it('for events that there are not: whoever registers for them opens none', async () => {
      const [hostile] = await trial.guests(1)
      for (let i = 0; i < 20; i++) {
        hostile!.call(NETWORKS, registrationArgs(999))
        await settle()
        await settle()
        const upstream = trial.upstreams.at(-1)!
        fail(upstream, upstream.take()[0]!, internalError('unsupported network event ID 999'))
      }
      await settle()
      expect([trial.upstreams.length, hostile!.answers().length]).to.deep.equal([2, 20])
    })
  })

  describe('for events, of which the daemon has lost another', () => {
    /** Registers, and returns where the daemon has to answer that. */
    async function registers(guest: MemoryGuest, proc: number, object?: Buffer): Promise<[Upstream, Frame]> {
      guest.call(proc, registrationArgs(0, object))
      await settle()
      await settle()
      const upstream = trial.upstreams.at(-1)!
      return [upstream, upstream.take()[0]!]
    }

    it('go at once when nobody has registered there', async () => {
      const [guest] = await trial.guests(1)
      const [upstream, call] = await registers(guest!, NETWORKS)
      fail(upstream, call, driverClosed())
      expect(upstream.procedures()).to.deep.equal([GOODBYE])
      const [next] = await registers(guest!, NETWORKS)
      expect(next).to.equal(trial.upstreams[2])
    })

    it('go with the last who has', async () => {
      const [a, b] = await trial.guests(2)
      const [upstream, first] = await registers(a!, DOMAINS)
      upstream.reply(first, encodeCallbackId(3))
      await settle()
      const [answer] = a!.answers()
      const [, second] = await registers(b!, NETWORKS)
      fail(upstream, second, driverClosed())
      expect(upstream.procedures()).to.deep.equal([])
      a!.call(DOMAINS_OFF, latin(answer!.payload))
      await settle()
      const [off] = upstream.take()
      expect(off!.proc).to.equal(DOMAINS_OFF)
      upstream.reply(off!)
      expect(upstream.procedures()).to.deep.equal([GOODBYE])
    })

    it('are no more than eight, whatever is registered on them', async () => {
      const [guest] = await trial.guests(1)
      for (let i = 0; i < 20; i++) {
        const [upstream, call] = await registers(guest!, DOMAINS, encodeDomain(i.toString(16).padStart(32, '0')))
        upstream.reply(call, encodeCallbackId(i))
        const [, lost] = await registers(guest!, NETWORKS)
        fail(upstream, lost, driverClosed())
      }
      await settle()
      expect([trial.upstreams.length, guest!.answers().length]).to.deep.equal([1 + 8, 40])
    })
  })

  describe('with first calls to another daemon that hang', () => {
    it('are joined by others, for those who need it as well', async () => {
      trial.settings.driverPoolSize = 1
      trial.settings.driverMaxRequests = 4
      for (const guest of await trial.guests(4)) guest.call(STORAGE)
      await trial.time.until('one more for each', () => trial.upstreams.length === 4 && trial.upstreams[3]!.transport.frames.length > 0)
      expect(trial.upstreams.map(upstream => upstream.procedures())).to.deep.equal([[STORAGE], [STORAGE], [STORAGE], [STORAGE]])
    })

    it('take the calls of all who need none in the turn in which they come', async () => {
      trial.settings.driverPoolSize = 1
      trial.settings.driverMaxRequests = 4
      const [first, second, other] = await trial.guests(3)
      const [upstream] = trial.upstreams
      first!.call(STORAGE)
      first!.call(STORAGE)
      second!.call(STORAGE)
      expect(upstream!.procedures()).to.deep.equal([STORAGE])
      other!.call(CALL)
      other!.call(NETWORK)
      expect(upstream!.procedures()).to.deep.equal([CALL, NETWORK])
      expect(trial.pool.figures.waiting).to.equal(2)
      for (const guest of [first, second]) guest!.port.close()
      expect(trial.pool.figures.waiting).to.equal(0)
    })

    it('take turns of those who wait for it, also with one who has had calls there before', async () => {
      const [first, a, b, c, hanging, greedy, modest] = await trial.guests(7)
      const [ready] = trial.upstreams
      first!.call(STORAGE)
      ready!.reply(ready!.take()[0]!)
      for (const guest of [a, b, c]) guest!.call(CALL)
      await settle()
      const other = trial.upstreams[1]!
      hanging!.call(STORAGE)
      const [soon, never] = other.take()
      expect([soon!.proc, never!.proc]).to.deep.equal([CALL, STORAGE])
      for (const call of ready!.take()) ready!.reply(call)
      other.reply(soon!)
      for (let i = 0; i < 3; i++) greedy!.call(STORAGE)
      modest!.call(STORAGE, latin('modest'))
      const [next, ...more] = ready!.take()
      expect([more.length, greedy!.waiting.length, modest!.waiting.length]).to.deep.equal([1, 1, 1])
      ready!.reply(next!)
      expect(modest!.waiting).to.have.length(0)
    })

    it('are alone with the next when the first has failed before it got there', async () => {
      trial.settings.driverPoolSize = 1
      const [a, b] = await trial.guests(2)
      const [upstream] = trial.upstreams
      a!.call(STORAGE, Buffer.alloc(3))
      fail(upstream!, upstream!.take()[0]!, undecodable())
      a!.call(STORAGE)
      b!.call(STORAGE)
      const [first, ...more] = upstream!.take()
      expect(more).to.deep.equal([])
      upstream!.reply(first!)
      expect(upstream!.procedures()).to.deep.equal([STORAGE])
    })
  })

  it('keep nobody waiting for one whose calls have to stay on a connection that is full', async () => {
    const [a, b, pipelining, other] = await trial.guests(4)
    for (const guest of [a, a, b]) guest!.call(CALL)
    await settle()
    for (const upstream of trial.upstreams) for (const call of upstream.take()) upstream.reply(call)
    expect(trial.upstreams).to.have.length(2)
    for (let i = 0; i < 3; i++) pipelining!.call(CALL)
    other!.call(CALL)
    expect([pipelining!.waiting.length, other!.waiting.length]).to.deep.equal([1, 0])
  })
})
