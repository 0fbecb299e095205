import { join } from 'node:path'
import { expect } from 'chai'
import { REMOTE } from '#protocol/procedures.js'
import { AdminConnection } from '../support/admin-connection.js'
import { Cleanup } from '../support/cleanup.js'
import { Ctl } from '../support/ctl.js'
import { DatagramReceiver } from '../support/datagram-receiver.js'
import { pattern } from '../support/pattern.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const GET_XML = REMOTE.domainGetXmlDesc
/** That is how long a thread is waited for. */
const ANSWER_MS = 1000
const killer = new URL('../support/thread-killer.js', import.meta.url).href

/** A broker of two threads that tells us how it is, with two clients on each. */
async function prepared(cleanup: Cleanup): Promise<{ stage: Stage; clients: RawClient[]; pings: () => number }> {
  const notify = new DatagramReceiver(join(await tempDir(cleanup), 'notify'))
  cleanup.defer(() => Promise.resolve(notify.close()))
  const env = { NOTIFY_SOCKET: notify.path, WATCHDOG_USEC: '600000' }
  const conf = { actor_threads: 2, driver_sharing: 'off', log_level: 1 }
  const stage = await Stage.start(cleanup, conf, { nodeOptions: ['--import', killer], env })
  await stage.probesForgotten()
  const clients: RawClient[] = []
  for (let i = 0; i < 4; i++) clients.push((await stage.open()).client)
  let count = 0
  const pings = (): number => {
    for (let text; (text = notify.receive()) !== undefined;) if (text === 'WATCHDOG=1') count++
    return count
  }
  return { stage, clients, pings }
}

/** Half of the clients. The others go on. */
async function served(clients: readonly RawClient[]): Promise<void> {
  const calls = clients.map(client => client.call(GET_XML, pattern(9)).then(() => 1, () => 0))
  let answers = 0
  for (const call of calls) void call.then(answer => (answers += answer))
  await waitFor('the answers', () => answers === 2)
}

describe('an actor thread that hangs', function () {
  this.timeout(90_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('is replaced after ten seconds, and the watchdog does not notice', async () => {
    const { stage, clients, pings } = await prepared(cleanup)
    const { program } = stage.broker
    program.child.kill('SIGXCPU')
    await waitFor('a thread that hangs', () => program.stderr.includes('a thread hangs'))
    await served(clients)
    await waitFor('the end of the thread', () => /actor thread died \(its event loop had not turned/.test(program.stderr), 30_000)
    expect(program.stderr).to.contain('2 clients are lost with it')
    await waitFor('the end of its clients', () => clients.filter(({ closed }) => closed).length === 2)
    for (let i = 0; i < 4; i++) {
      const { client } = await stage.open()
      expect((await client.call(GET_XML, pattern(i))).payload).to.deep.equal(pattern(i))
    }
    const before = pings()
    await waitFor('the watchdog\'s food', () => pings() > before + 2)
  })

  it('leaves an administrator what he can do without it, and its clients can be closed', async () => {
    const { stage, clients } = await prepared(cleanup)
    const { program } = stage.broker
    const admin = await AdminConnection.to(cleanup, stage.broker)
    const others = await AdminConnection.to(cleanup, stage.broker)
    const listed = await admin.clients()
    // What a thread has told of them is all that is known when it hangs.
    for (const { id } of listed) await waitFor('it to be in', async () => (await admin.info(id))['state'] === 'serving')
    // It cannot be ended, and hangs for as long as this takes.
    program.child.kill('SIGSTKFLT')
    await waitFor('a thread that hangs', () => program.stderr.includes('a thread hangs'))
    const since = performance.now()
    const took = (): number => performance.now() - since
    expect(await admin.clients()).to.deep.equal(listed)
    expect(await admin.limits()).to.include({ nclients: 4 })
    expect(took()).to.be.lessThan(ANSWER_MS)
    const infos = await Promise.all([listed.slice(0, 2), listed.slice(2)].map(async (two, i) => {
      const asks = i === 0 ? admin : others
      return [await asks.info(two[0]!.id), await asks.info(two[1]!.id)]
    }))
    expect(took()).to.be.lessThan(3 * ANSWER_MS)
    const silent = infos.flat().filter(info => !('uri' in info))
    expect(silent).to.have.length(2)
    for (const info of silent) expect(info).to.include({ state: 'serving' }).and.have.property('sock_addr')
    const stuck = clients.filter(({ socket }) => silent.some(({ sock_addr }) => sock_addr === `127.0.0.1:${socket.localPort}`))
    const { id } = listed[infos.flat().indexOf(silent[0]!)]!
    const asked = performance.now()
    await admin.disconnect(id)
    await Promise.race(stuck.map(client => client.end()))
    expect(performance.now() - asked).to.be.lessThan(2 * ANSWER_MS)
    expect(program.stderr).not.to.contain('actor thread died')
    const drivers = await new Ctl(cleanup, stage.broker).json<{ silent: number[]; connections: { thread: number }[] }>('drivers')
    expect(drivers.silent).to.have.length(1)
    expect(drivers.connections).to.have.length(2)
    expect(drivers.connections.map(({ thread }) => thread)).not.to.include(drivers.silent[0])
    // The others are served all the while.
    for (const client of clients.filter(one => !stuck.includes(one))) await client.call(GET_XML, pattern(9))
    await program.stop('SIGKILL')
  })

  for (const [how, signal] of [['goes round in a circle', 'SIGXCPU'], ['waits in the kernel', 'SIGSTKFLT']] as const) {
    it(`does not hold up a stop for long, when it ${how}`, async () => {
      const conf = { actor_threads: 2, shutdown_timeout: 1, log_level: 1 }
      const stage = await Stage.start(cleanup, conf, { nodeOptions: ['--import', killer] })
      await stage.probesForgotten()
      const { program } = stage.broker
      const { client } = await stage.open()
      const other = await stage.open()
      program.child.kill(signal)
      await waitFor('a thread that hangs', () => program.stderr.includes('a thread hangs'))
      program.child.kill('SIGTERM')
      expect(await program.exited).to.deep.equal({ status: 0, signal: null })
      await Promise.all([client.end(), other.client.end()])
      expect(program.stderr).to.contain('cut off by the stop: 1 client, 0 calls, 0 streams')
    })
  }

  it('where it cannot be ended lets the watchdog starve, and a stop comes to its end', async () => {
    const { stage, clients, pings } = await prepared(cleanup)
    const { program } = stage.broker
    program.child.kill('SIGSTKFLT')
    await waitFor('a thread that hangs', () => program.stderr.includes('a thread hangs'))
    await served(clients)
    let [last, since] = [pings(), Date.now()]
    await waitFor('an end to the pings', () => {
      if (pings() !== last) [last, since] = [pings(), Date.now()]
      return Date.now() - since > 2000
    }, 60_000)
    await stage.open()
    await program.stop('SIGTERM', 30_000)
    expect(await program.exited).to.deep.equal({ status: 0, signal: null })
  })
})
