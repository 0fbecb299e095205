import { openSync } from 'node:fs'
import { expect } from 'chai'
import { MESSAGE, PROGRAM, STATUS, type Header } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { DescriptorClient } from '../support/descriptor-client.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { frame } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const CALL = REMOTE.domainGetXmlDesc
const HANDSHAKE: readonly number[] = [REMOTE.connectOpen, REMOTE.connectSetIdentity, REMOTE.connectSupportsFeature]
/** Behind a description, and behind a domain, of which neither has a text. */
const [AFTER_XML, AFTER_DOMAIN] = [4, 24].map(bytes => Buffer.concat([Buffer.alloc(bytes), Buffer.from([0, 0, 0, 2])])) as [Buffer, Buffer]
const REGISTER_CLOSE = REMOTE.connectRegisterCloseCallback

/** What binds something to the connection that it is called on. */
const deeds: readonly [what: string, proc: number, payload: Buffer][] = [
  ['an auto-destroy guest', REMOTE.domainCreateXml, AFTER_XML],
  ['a defined guest that is started to die with its client', REMOTE.domainCreateWithFlags, AFTER_DOMAIN],
  ['the first step of a migration', REMOTE.domainMigrateBegin3Params, pattern(40)],
  ['the last step of a migration', REMOTE.domainMigrateConfirm3Params, pattern(40)],
  ['a console', REMOTE.domainOpenConsole, pattern(40)],
  ['an upload', REMOTE.storageVolUpload, pattern(40)]
]

describe('a shared driver connection is left', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => {
    stage = await Stage.start(cleanup, { driver_sharing: 'identity', actor_threads: 1, driver_pool_size: 1 })
  })
  after(() => cleanup.run())

  async function client(): Promise<RawClient> {
    const one = await stage.connect()
    expect((await one.open('qemu:///system')).status).to.equal(STATUS.ok)
    return one
  }

  const served = async (one: RawClient): Promise<void> => {
    expect((await one.call(CALL, pattern(8))).payload.equals(pattern(8))).to.equal(true)
  }

  /** Where a call of that procedure has come since there were so many connections. */
  const cameBy = (proc: number, known: number): Promise<DriverConnection> =>
    waitFor('the call', () => stage.driver.connections.slice(known).find(({ calls, inbox }) =>
      calls.some(call => call.proc === proc) || inbox.some((call: Header) => call.proc === proc)))

  for (const [what, proc, payload] of deeds) {
    it(`by ${what}, which has a connection of its own that ends with its client, and no other does`, async () => {
      const [one, other, neighbour] = [await client(), await client(), await client()]
      const known = stage.driver.connections.length
      expect((await one.call(proc, payload)).status).to.equal(STATUS.ok)
      const own = await cameBy(proc, known)
      expect((await other.call(proc, payload)).status).to.equal(STATUS.ok)
      const others = await cameBy(proc, known + 1)
      await served(neighbour)
      await served(one)
      const calls = own.calls.map(call => call.proc).filter(called => !HANDSHAKE.includes(called))
      expect(calls).to.deep.equal([proc, CALL])
      neighbour.destroy()
      await served(other)
      one.destroy()
      await own.end()
      await served(other)
      const last = await client()
      await served(last)
      expect(others.closed).to.equal(false)
      for (const left of [other, last]) left.destroy()
    })
  }

  it('for a while, in which that which is answered here stands in no call\'s way', async () => {
    const one = await client()
    const known = stage.driver.connections.length
    expect((await one.call(REMOTE.domainOpenConsole, pattern(40))).status).to.equal(STATUS.ok)
    const own = await cameBy(REMOTE.domainOpenConsole, known)
    const [first, second, third] = [{ proc: CALL, serial: 91 }, { proc: REGISTER_CLOSE, serial: 92 }, { proc: CALL, serial: 93 }]
    one.write(frame(first, pattern(30, 1)), frame(second), frame(third, pattern(30, 2)))
    for (const { serial } of [first, second, third]) expect((await one.next({ serial })).status, `${serial}`).to.equal(STATUS.ok)
    const calls = own.calls.filter(({ proc }) => proc === CALL).map(({ payload }) => payload)
    expect(calls).to.deep.equal([pattern(30, 1), pattern(30, 2)])
    one.destroy()
  })

  it('by descriptors that a client passes, on a connection of its own that ends with it', async () => {
    const nothing = openSync('/dev/null', 'r')
    const one = await DescriptorClient.connect(cleanup, stage.broker.socket)
    const neighbour = await stage.connect(stage.broker.socket)
    expect((await one.open('qemu:///system'))?.status).to.equal(STATUS.ok)
    expect((await neighbour.open('qemu:///system')).status).to.equal(STATUS.ok)
    await served(neighbour)
    const known = stage.driver.connections.length
    const reply = one.call(PROGRAM.remote, REMOTE.domainFdAssociate, pattern(20), [nothing])
    const own = await cameBy(REMOTE.domainFdAssociate, known)
    own.reply(await own.next({ type: MESSAGE.callWithFds }))
    expect((await reply)?.status).to.equal(STATUS.ok)
    one.transport.destroy()
    await own.end()
    await served(neighbour)
    expect(stage.driver.connections.slice(0, known).some(({ closed }) => !closed)).to.equal(true)
  })
})
