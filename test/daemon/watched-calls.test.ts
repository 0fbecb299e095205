import { expect } from 'chai'
import { CODE, rpcError } from '#protocol/errors.js'
import { MESSAGE } from '#protocol/header.js'
import type { ProcedureList, SlowCallList } from '#protocol/messages/broker-admin.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Cleanup } from '../support/cleanup.js'
import { Ctl } from '../support/ctl.js'
import { freePort } from '../support/free-port.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const { domainGetXmlDesc: CALL, domainSave: SAVE } = REMOTE
const EMPTY = Buffer.alloc(0)

describe('virtbrokerctl', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('lists the last calls that took long, of whom and what', async () => {
    const stage = await Stage.start(cleanup, { slow_call_ms: 50 })
    const ctl = new Ctl(cleanup, stage.broker)
    expect(await ctl.json('slow')).to.deep.equal({ calls: [], slowCallMs: 50 })
    stage.driver.on(CALL, () => undefined)
    const { client, daemon } = await stage.open()
    await client.call(SAVE, EMPTY)
    for (let i = 0; i < 2; i++) client.post(CALL, new XdrWriter(64).string(`guest-${i}`).finish())
    const calls = [await daemon.next({ proc: CALL }), await daemon.next({ proc: CALL })]
    await new Promise(resolve => setTimeout(resolve, 100))
    daemon.reply(calls[1]!)
    daemon.fail(calls[0]!, rpcError('no'))
    for (let i = 0; i < 2; i++) await client.next({ type: MESSAGE.reply })
    const listed = await waitFor('both', async () => {
      // The machine may have been slow with the other.
      const { calls: all } = await ctl.json<SlowCallList>('slow')
      const slow = all.filter(({ procedure }) => procedure === 'DOMAIN_GET_XML_DESC')
      return slow.length === 2 && slow
    })
    expect(listed.map(({ object, code }) => [object, code])).to.deep.equal([['guest-1', 0], ['guest-0', CODE.rpc]])
    for (const { procedure, driver, from, queuedUs, driverUs, at } of listed) {
      expect({ procedure, driver, from }).to.deep.equal({
        procedure: 'DOMAIN_GET_XML_DESC', driver: 'qemu', from: `127.0.0.1:${client.socket.localPort}`
      })
      expect(queuedUs).to.be.within(0, 20_000_000)
      expect(driverUs).to.be.within(90_000, 20_000_000)
      expect(at).to.be.closeTo(Date.now(), 60_000)
    }
    expect(await ctl.ok('slow')).to.match(/^ENDED .*\n(?:.*\n)*.* DOMAIN_GET_XML_DESC +guest-1 +qemu +- +[\d.]+ (?:µ|m?)s +[\d.]+ m?s\n/)
  })

  it('keeps two hundred of them', async () => {
    const stage = await Stage.start(cleanup, { slow_call_ms: 1, actor_threads: 2 })
    const ctl = new Ctl(cleanup, stage.broker)
    stage.driver.on(CALL, call => {
      const { daemon } = { daemon: stage.driver.latest }
      setTimeout(() => daemon.reply(call), 20)
      return undefined
    })
    const { client } = await stage.open()
    for (let i = 0; i < 210; i++) {
      await client.call(CALL, new XdrWriter(64).string(`guest-${i}`).finish())
    }
    const calls = await waitFor('the last one', async () => {
      const list = await ctl.json<SlowCallList>('slow')
      return list.calls.at(-1)?.object === 'guest-209' && list.calls
    })
    expect(calls.map(({ object }) => object)).to.deep.equal(Array.from({ length: 200 }, (_, i) => `guest-${i + 10}`))
  })

  it('lists what is called, and how long that takes', async () => {
    const stage = await Stage.start(cleanup, { metrics_listen: `127.0.0.1:${await freePort()}`, slow_call_ms: 50 })
    const ctl = new Ctl(cleanup, stage.broker)
    stage.driver.on(SAVE, () => rpcError('no'))
    const { client, daemon } = await stage.open()
    for (let i = 0; i < 9; i++) await client.call(SAVE, EMPTY)
    stage.driver.on(CALL, () => undefined)
    client.post(CALL, EMPTY)
    const call = await daemon.next({ proc: CALL })
    await new Promise(resolve => setTimeout(resolve, 100))
    daemon.reply(call)
    await client.next({ type: MESSAGE.reply })
    const { procedures, others } = await ctl.json<ProcedureList>('procedures')
    expect(others).to.equal(0)
    // Those that took longest come first.
    const totals = procedures.map(({ totalUs }) => totalUs)
    expect(totals).to.deep.equal([...totals].sort((one, other) => other - one))
    const of = (name: string) => procedures.find(({ procedure }) => procedure === name)
    expect(of('DOMAIN_GET_XML_DESC')).to.include({ driver: 'qemu', calls: 1, errors: 0, slow: 1, timed: 1 })
    expect(of('DOMAIN_GET_XML_DESC')!.totalUs).to.be.within(90_000, 20_000_000)
    expect(of('DOMAIN_GET_XML_DESC')!.p99Us).to.be.within(90_000, 30_000_000)
    expect(of('DOMAIN_SAVE')).to.include({ calls: 9, errors: 9, timed: 9 })
    expect(procedures.at(-1)).to.deep.include({ program: 'remote', procedure: 'CONNECT_OPEN', calls: 1, timed: 0 })
    expect(procedures.at(-1)).not.to.have.property('p99Us')
    expect(await ctl.ok('procedures')).to.match(
      /^PROCEDURE .*\n(?:.*\n)?DOMAIN_GET_XML_DESC +qemu +1 +0 +0 +0 +0 +1 +[\d.]+ m?s +[\d.]+ m?s /
    )
  })

  it('says where calls are not counted', async () => {
    const stage = await Stage.start(cleanup)
    const { status, stderr } = await new Ctl(cleanup, stage.broker).run('procedures')
    const why = 'virtbrokerctl: operation failed: calls are not counted: metrics_listen is not set\n'
    expect([status, stderr]).to.deep.equal([1, why])
  })
})
