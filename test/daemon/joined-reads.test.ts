import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { callFrame } from '#protocol/messages/frames.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { Metrics } from '../support/metrics.js'
import { pattern } from '../support/pattern.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const { domainGetXmlDesc: READ, domainGetInfo: OTHER } = REMOTE
const ask = pattern(40)

describe('clients that ask the same at once, with collapse_reads', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const start = (more: Conf = {}): Promise<Stage> =>
    Stage.start(cleanup, { driver_sharing: 'identity', collapse_reads: 1, actor_threads: 1, log_level: 2, ...more })

  async function clients(stage: Stage, count: number): Promise<RawClient[]> {
    const all = await Promise.all(Array.from({ length: count }, () => stage.connect()))
    for (const reply of await Promise.all(all.map(client => client.open('qemu:///system')))) expect(reply.status).to.equal(STATUS.ok)
    return all
  }

  /** Serials at the daemon. */
  const sent = (stage: Stage): number => stage.driver.connections.reduce((sum, one) => sum + one.serialsOf(READ).length, 0)

  /** The calls of all are in the broker: what it answers itself comes back after it has judged what came before. */
  async function askAtOnce(all: readonly RawClient[]): Promise<number[]> {
    const serials = all.map(client => client.post(READ, ask))
    await Promise.all(all.map(client => client.call(REMOTE.authList)))
    return serials
  }

  /** Those that the daemon has, and those that come. */
  function answerAll({ driver }: Stage): void {
    driver.otherwise = call => call.payload
    for (const daemon of driver.connections) for (const call of daemon.inbox.splice(0)) daemon.reply(call, call.payload)
  }

  it('get one answer, and what they ask counts for each of them', async () => {
    const port = await freePort()
    // Before the first is answered, there is one on each connection, of which there are 32 at most.
    const stage = await start({ metrics_listen: `127.0.0.1:${port}`, driver_max_requests: 1, driver_pool_size: 1 })
    const all = await clients(stage, 200)
    stage.driver.otherwise = () => undefined
    const serials = await askAtOnce(all)
    answerAll(stage)
    const replies = await Promise.all(all.map((client, i) => client.next({ serial: serials[i]! })))
    for (const { payload, status } of replies) expect([payload.equals(ask), status]).to.deep.equal([true, STATUS.ok])
    expect(sent(stage)).to.be.at.most(33)
    const metrics = await Metrics.of(port)
    expect(metrics.value('pool_joined_calls_total')).to.equal(200 - sent(stage))
    expect(metrics.value('calls_total', { procedure: 'DOMAIN_GET_XML_DESC', outcome: 'ok' })).to.equal(200)
  })

  for (const [most, calls] of [[1, 3], [2, 2], [3, 1]] as const) {
    it(`have no more calls out than ${most}, if that is max_client_requests`, async () => {
      const stage = await start({ max_client_requests: most })
      const [client] = await clients(stage, 1)
      const serials = [7001, 7002, 7003]
      client!.write(Buffer.concat(serials.map(serial => callFrame(READ, serial, ask))))
      for (const serial of serials) expect((await client!.next({ serial })).payload.equals(ask)).to.equal(true)
      expect(sent(stage)).to.equal(calls)
    })
  }

  it('get the same error if the daemon dies meanwhile', async () => {
    const stage = await start({ driver_reconnect: 0 })
    const all = await clients(stage, 20)
    stage.driver.otherwise = () => undefined
    const serials = await askAtOnce(all)
    await waitFor('a call at the daemon', () => sent(stage) > 0)
    await stage.driver.stop()
    const replies = await Promise.all(all.map((client, i) => client.next({ serial: serials[i]! })))
    for (const { status, payload } of replies) {
      expect([status, /closed|reset|End of file/.test(payload.toString('latin1'))]).to.deep.equal([STATUS.error, true])
    }
  })

  it('are each asked whether they may', async () => {
    const stage = await start({ procedure_policy: ['address=127.0.0.2 => deny DOMAIN_GET_XML_DESC'] })
    const all = await clients(stage, 2)
    const forbidden = await stage.connect({ host: '127.0.0.1', port: stage.broker.tcpPort, localAddress: '127.0.0.2' })
    expect((await forbidden.open('qemu:///system')).status).to.equal(STATUS.ok)
    expect(stage.driver.connections).to.have.length(1)
    stage.driver.otherwise = () => undefined
    await askAtOnce(all)
    const refused = await forbidden.call(READ, ask)
    expect(decodeError(refused.payload).message).to.match(/access denied/)
    await waitFor('the call at the daemon', () => sent(stage) > 0)
    answerAll(stage)
    for (const client of all) expect((await client.next({ proc: READ })).payload.equals(ask)).to.equal(true)
  })

  it('and what is not the same is called for each', async () => {
    const stage = await start()
    const all = await clients(stage, 20)
    await Promise.all(all.map(async (client, i) => {
      const [reply, other] = await Promise.all([client.call(READ, pattern(60, i)), client.call(OTHER, pattern(60, i))])
      for (const { payload } of [reply, other]) expect(payload.equals(pattern(60, i))).to.equal(true)
    }))
    expect(sent(stage)).to.equal(20)
  })
})
