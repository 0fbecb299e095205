import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { freePort } from '../support/free-port.js'
import { writeAndRead, type HistoryClient } from '../support/history-clients.js'
import { GET_METADATA, Metadata, pretended, registersOf, SET_METADATA, TEST_DOMAIN } from '../support/metadata.js'
import { Metrics } from '../support/metrics.js'
import { Random } from '../support/random.js'
import { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'

/** `VIRTBROKER_TEST_OPERATIONS=1000000` is the million. */
const operations = Number(process.env['VIRTBROKER_TEST_OPERATIONS'] ?? 30_000)
const seed = Number(process.env['VIRTBROKER_TEST_SEED'] ?? Math.floor(Math.random() * 0x7fffffff))
/** By each way in: each is another identity to the daemon, or another kind of connection. */
const CLIENTS = 20
/** Milliseconds that the daemon takes at most before it carries out a call, and before it answers. */
const SLOW = 20

describe(`what clients read through a broker with collapse_reads (seed ${seed})`, function () {
  this.timeout(600_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  async function clients(broker: Broker, name: string): Promise<HistoryClient[]> {
    const ways = [[broker.tcpPort, false], [broker.socket, false], [broker.roSocket, true]] as const
    const all = ways.flatMap(way => Array.from({ length: CLIENTS }, () => way))
    return Promise.all(all.map(async ([where, readonly]) => {
      const client = await RawClient.connect(cleanup, where)
      expect((await client.open(name, readonly ? 1 : 0)).status).to.equal(STATUS.ok)
      return { client, readonly }
    }))
  }

  async function conf(): Promise<{ port: number; conf: Record<string, string | number> }> {
    const port = await freePort()
    return { port, conf: { driver_sharing: 'identity', collapse_reads: 1, actor_threads: 2, metrics_listen: `127.0.0.1:${port}` } }
  }

  async function joined(port: number): Promise<number> {
    return (await Metrics.of(port)).value('pool_joined_calls_total')!
  }

  it(`is never older than what was over before, at a daemon that is slow at random: ${operations} operations`, async () => {
    const { port, conf: keys } = await conf()
    const stage = await Stage.start(cleanup, keys)
    const daemons = [stage.driver, await stage.addDriver('virtqemud-sock-ro')]
    const [random, metadata] = [new Random(seed), new Metadata()]
    const delay = (): number => (random.chance(0.001) ? 10 * SLOW : SLOW * random.fraction() ** 4)
    for (const proc of [SET_METADATA, GET_METADATA]) {
      for (const one of daemons) one.on(proc, (call, daemon) => {
        setTimeout(() => {
          const result = metadata.execute(proc, call.payload)
          setTimeout(() => daemon.reply(call, result), delay())
        }, delay())
        daemon.inbox.length = 0
        return undefined
      })
    }
    const all = await clients(stage.broker, 'qemu:///system')
    expect(await writeAndRead(all, registersOf(pretended(2)), random.fork(), operations)).to.be.at.least(operations)
    expect(await joined(port)).to.be.above(operations / 20)
  })

  it('nor at the embedded test driver', async () => {
    const { conf: keys } = await conf()
    const broker = await Broker.start(cleanup, { ...keys, embedded_test_driver: 1 })
    const few = Math.min(operations, 10_000)
    const all = await clients(broker, 'test:///default')
    expect(await writeAndRead(all, registersOf([TEST_DOMAIN]), new Random(seed), few)).to.be.at.least(few)
  })
})
