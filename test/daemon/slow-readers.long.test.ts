import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { eventFrame } from '#protocol/messages/frames.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { frame, ping } from '../support/frame-socket.js'
import { bytesOnTheWay } from '../support/kernel-queues.js'
import { pattern } from '../support/pattern.js'
import { residentMiB } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const MIB = 1024 * 1024
const GET_XML = REMOTE.domainGetXmlDesc

// Over UNIX sockets, where the kernel keeps little. Each has a driver connection of its own, which waits with it; what is kept for
// those that share is bounded in session/shared-connections-limits.test.ts and shared-events.test.ts.
describe('clients that do not read', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let stage: Stage
  beforeEach(async () => (stage = await Stage.start(cleanup, { driver_sharing: 'off', client_stall_timeout: 3, actor_threads: 2 })))
  afterEach(() => cleanup.run())

  const memory = (): number => residentMiB(stage.broker.program.pid)

  /** The most MiB that the broker grows until something has happened. */
  async function growthUntil(what: string, happened: () => boolean, deeds: () => void): Promise<number> {
    const before = memory()
    let most = before
    deeds()
    await waitFor(what, () => {
      most = Math.max(most, memory())
      return happened()
    })
    return most - before
  }

  it('do not make the broker grow, be there a hundred of them, and are cut off with a word in the log', async () => {
    const bystander = await stage.open()
    const slow: { client: RawClient; daemon: DriverConnection }[] = []
    for (let i = 0; i < 100; i++) slow.push(await stage.open(stage.broker.socket))
    const events = Buffer.concat(Array.from({ length: 64 }, (_, i) => eventFrame(318, pattern(16_000, i))))
    const served = async (): Promise<void> => {
      expect((await bystander.client.call(GET_XML, pattern(9))).payload).to.deep.equal(pattern(9))
    }
    let meanwhile: Promise<void> | undefined
    const grown = await growthUntil('the daemon to be rid of them', () => slow.every(({ daemon }) => daemon.closed), () => {
      for (const { client, daemon } of slow) {
        client.stall()
        for (let i = 0; i < 5; i++) daemon.write(events)
      }
      meanwhile = served()
    })
    expect(grown, 'MiB that the broker has grown under 500 MiB of events').to.be.lessThan(100)
    await meanwhile
    const cut = (): number => stage.broker.program.stderr.match(/client \d+ at .*: closed: nothing read for 3 s/g)?.length ?? 0
    await waitFor('a hundred lines in the log', () => cut() === 100)
    await served()
  })

  // What is passed on waits in the daemon; the answer to a registration is looked at, and waits in the broker.
  for (const [what, proc] of [['is passed on', GET_XML], ['the broker holds', REMOTE.connectDomainEventCallbackRegisterAny]] as const) {
    it(`are not cut off if they read a little now and then of a reply that ${what}`, async () => {
      const { client, daemon } = await stage.open(stage.broker.socket)
      const large = pattern(6 * MIB)
      stage.driver.otherwise = () => large
      client.stall()
      client.post(proc, undefined, { serial: 5 })
      // Nearly three times as long as a client may read nothing.
      for (let i = 0; i < 40; i++) {
        await sleep(200)
        client.goOn()
        await once(client.socket, 'data')
        client.stall()
      }
      expect(daemon.closed, 'cut off').to.equal(false)
      client.goOn()
      const { payload } = await client.next({ serial: 5 })
      // The first word of the other is an id, which may be another one here.
      expect(payload.subarray(4).equals(large.subarray(4))).to.equal(true)
    })
  }

  it('are no burden when they go on asking', async () => {
    const { client } = await stage.open(stage.broker.socket)
    client.stall()
    const bad = Buffer.concat(Array.from({ length: 40_000 }, () => frame({ prog: 99 })))
    // Cut off at the first deadline in which it read nothing: the second, if the kernel took some in the first.
    const grown = await growthUntil('its end', () => client.closed, () => {
      for (let i = 0; i < 10; i++) client.write(bad)
    })
    expect(grown, 'MiB that the broker has grown').to.be.lessThan(40)
  })

  it('of pongs may be daemons, too: their pings do not make the broker grow', async () => {
    const { client, daemon } = await stage.open(stage.broker.socket)
    daemon.stall()
    const storm = Buffer.concat(Array.from({ length: 40_000 }, ping))
    const grown = await growthUntil('all to be read', () => bytesOnTheWay(daemon.socket) === 0, () => {
      for (let i = 0; i < 50; i++) daemon.write(storm)
    })
    expect(grown, 'MiB that the broker has grown under 2,000,000 pings').to.be.lessThan(40)
    daemon.goOn()
    expect((await client.call(GET_XML, pattern(9))).payload).to.deep.equal(pattern(9))
  })

  it('do not include one whose daemon stops in the middle of a long reply: it waits, in bounds, and loses nothing', async () => {
    const { client, daemon } = await stage.open(stage.broker.socket)
    stage.driver.otherwise = () => undefined
    client.post(GET_XML, undefined, { serial: 5 })
    const call = await daemon.next({ serial: 5 })
    const reply = frame({ ...call, type: MESSAGE.reply }, pattern(2 * MIB))
    daemon.write(reply.subarray(0, 3000))
    await waitFor('the first half', () => client.received > 2900)
    const count = 200_000
    const since = performance.now()
    const grown = await growthUntil('longer than a client may stall', () => performance.now() - since > 4000, () => {
      client.write(Buffer.concat(Array.from({ length: count }, () => frame({ prog: 99 }))))
    })
    expect(grown, 'MiB that the broker has grown').to.be.lessThan(40)
    expect(client.closed, 'cut off').to.equal(false)
    daemon.write(reply.subarray(3000))
    expect((await client.next({ serial: 5 })).status).to.equal(STATUS.ok)
    await waitFor('an answer to every call', () => client.inbox.length >= count, 60_000)
  })
})
