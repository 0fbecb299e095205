import { symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { ADMIN, REMOTE } from '#protocol/procedures.js'
import { serverName } from '../support/admin-calls.js'
import { AdminConnection } from '../support/admin-connection.js'
import { Broker } from '../support/broker.js'
import { brokerCommand, brokerFiles } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import { FakeDriver } from '../support/fake-driver.js'
import { pattern } from '../support/pattern.js'
import { mustRun, run } from '../support/processes.js'
import { openDescriptors, threadCount } from '../support/process-state.js'
import { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { settled, waitFor } from '../support/waiting.js'

const GET_XML = REMOTE.domainGetXmlDesc
const THREADS = 3
const CLIENTS = 12
const project = (path: string): string => new URL(`../../../${path}`, import.meta.url).pathname
const killer = new URL('../support/thread-killer.js', import.meta.url).href

/** How a thread dies (see thread-killer.ts), and what the log says of it. */
const deaths = [
  { what: 'is terminated', signal: 'SIGUSR2', reason: /actor thread died \(worker exited with code: 1/ },
  { what: 'meets an exception that nobody catches', signal: 'SIGWINCH', reason: /actor thread died \(a test wants this/ },
  { what: 'runs out of memory', signal: 'SIGIO', reason: /actor thread died \(Worker terminated due to reaching memory/ }
] as const

for (const threads of [1, 2]) {
  describe(`one of ${threads} actor threads that dies when there is no descriptor for another`, () => {
    const cleanup = new Cleanup()
    after(() => cleanup.run())

    it('is replaced when there are some again', async () => {
      const stage = await Stage.start(cleanup, { actor_threads: threads }, { nodeOptions: ['--import', killer] })
      const { pid } = stage.broker.program
      const before: RawClient[] = []
      for (let i = 0; i < 2 * threads; i++) before.push((await stage.open()).client)
      const count = threadCount(pid)
      await mustRun(['prlimit', '--pid', String(pid), '--nofile=5:'])
      process.kill(pid, 'SIGUSR2')
      await waitFor('vain tries', () => stage.broker.program.stderr.split('actor thread died').length > 3)
      for (const client of before.filter(({ closed }) => !closed)) {
        expect((await client.call(GET_XML, pattern(9))).payload).to.deep.equal(pattern(9))
      }
      expect(before.filter(({ closed }) => closed)).to.have.length(2)
      await mustRun(['prlimit', '--pid', String(pid), '--nofile=1000:'])
      await waitFor('the new thread', () => threadCount(pid) === count)
      for (let i = 0; i < 2 * threads + 2; i++) {
        const { client } = await stage.open(stage.broker.socket)
        expect((await client.call(GET_XML, pattern(i))).payload).to.deep.equal(pattern(i))
      }
    })
  })
}

describe('the only actor thread, when it dies as soon as it has begun', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('is not replaced at once, and whoever comes meanwhile waits for the next', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 1 }, { nodeOptions: ['--import', killer] })
    const { program } = stage.broker
    const deaths = (): number => program.stderr.split('actor thread died').length - 1
    for (const count of [1, 2]) {
      // One that has not begun has no clients, and is not told of.
      const client = await stage.connect()
      expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
      process.kill(program.pid, 'SIGUSR2')
      await waitFor('the death', () => deaths() === count)
    }
    for (const where of [stage.broker.socket, stage.broker.tcpPort]) {
      const client = await stage.connect(where)
      expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    }
    expect(deaths()).to.equal(2)
  })
})

describe('a broker none of whose threads can be started', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())
  const failing = encodeURIComponent('import { isMainThread } from "node:worker_threads"; if (!isMainThread) throw new Error("too old")')

  it('says why, and ends', async () => {
    const { file, pidFile } = await brokerFiles(cleanup, { actor_threads: 1 })
    const dist = join(await tempDir(cleanup), 'dist')
    await mustRun(['cp', '-a', project('dist'), project('package.json'), dirname(dist)])
    await symlink(project('node_modules'), join(dirname(dist), 'node_modules'))
    await writeFile(join(dist, 'workers/actor/actor-thread.js'), 'throw new Error("too old")')
    const [node = '', ...itself] = brokerCommand('-f', file, '-p', pidFile)
    const commands = [
      [node, '--import', `data:text/javascript,${failing}`, ...itself], [node, join(dist, 'main/virtbrokerd.js'), ...itself.slice(1)]
    ]
    for (const command of commands) {
      const { status, stderr } = await run(command)
      expect(stderr).to.match(/no actor thread can be started: too old/)
      expect(status).to.equal(1)
    }
  })
})

for (const { what, signal, reason } of deaths) {
  describe(`an actor thread that ${what}`, function () {
    this.timeout(60_000)
    const cleanup = new Cleanup()
    let broker: Broker
    let admin: AdminConnection
    let driver: FakeDriver
    const clients: RawClient[] = []
    before(async () => {
      const dir = await tempDir(cleanup)
      driver = await FakeDriver.listen(cleanup, `${dir}/virtqemud-sock`)
      const conf = { driver_socket_dir: dir, actor_threads: THREADS, max_clients: CLIENTS, max_anonymous_clients: CLIENTS }
      const nodeOptions = ['--import', killer, '--max-old-space-size=64']
      broker = await Broker.start(cleanup, conf, { nodeOptions })
      admin = await AdminConnection.to(cleanup, broker)
    })
    after(() => cleanup.run())

    async function threadsThere(): Promise<number> {
      const params = await admin.params(ADMIN.serverGetThreadpoolParameters, serverName('virtproxyd').u32(0))
      return Number(params.find(({ field }) => field === 'nWorkers')!.value)
    }

    /** Waits until there is another thread for one that has died, and it serves: of clients that come then each gets one. */
    async function replaced(): Promise<void> {
      await waitFor('another thread', async () => (await threadsThere()) === THREADS)
      const newcomers: RawClient[] = []
      while (newcomers.length <= THREADS) newcomers.push(await open(broker.socket))
      for (const client of newcomers) {
        expect((await client.call(GET_XML, pattern(9))).payload).to.deep.equal(pattern(9))
        client.destroy()
      }
    }

    async function open(where: string | number): Promise<RawClient> {
      const client = await RawClient.connect(cleanup, where)
      expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
      return client
    }

    it('takes its own clients with it, cleanly, and nobody else', async () => {
      for (let i = 0; i < CLIENTS; i++) clients.push(await open(i % 2 === 0 ? broker.socket : broker.tcpPort))
      await clients[0]!.call(REMOTE.storageVolUpload, undefined, { serial: 500 })
      const before = openDescriptors(broker.program.pid)
      process.kill(broker.program.pid, signal)
      const lost = await waitFor('clients to be closed', () => {
        const closed = clients.filter(client => client.closed)
        const daemonKnows = driver.connections.some(daemon => daemon.closed)
        return closed.length >= CLIENTS / THREADS && daemonKnows && closed
      })
      for (const client of clients.filter(other => !lost.includes(other))) {
        const { status, payload } = await client.call(GET_XML, pattern(30))
        expect(status).to.equal(STATUS.ok)
        expect(payload).to.deep.equal(pattern(30))
      }
      expect(clients.filter(client => client.closed)).to.have.length(CLIENTS / THREADS)
      // Those of the clients, and of their driver connections.
      await waitFor('the descriptors of the lost', () => openDescriptors(broker.program.pid) < before - lost.length)
    })

    it('says so in the log', async () => {
      await waitFor('a line in the log', () => reason.test(broker.program.stderr))
        .catch(() => expect(broker.program.stderr).to.match(reason))
      expect(broker.program.stderr).to.match(new RegExp(`${CLIENTS / THREADS} clients are lost with it`))
    })

    it('is replaced, and counts and descriptors are right again', async () => {
      // `max_clients` lets in as many as were lost, and not one more.
      for (let i = 0; i < CLIENTS / THREADS; i++) clients.push(await open(broker.tcpPort))
      const oneTooMany = await RawClient.connect(cleanup, broker.tcpPort)
      oneTooMany.post(REMOTE.authList, undefined, { serial: 1 })
      await sleep(300)
      expect(oneTooMany.inbox, 'answers to one client too many').to.be.empty
      clients.at(-1)!.destroy()
      await oneTooMany.next({ type: MESSAGE.reply, serial: 1 })
    })

    it('leaves nothing behind, however often', async () => {
      for (const client of clients) client.destroy()
      const { pid } = broker.program
      await replaced()
      const descriptors = await settled('descriptors', () => openDescriptors(pid))
      const threads = threadCount(pid)
      for (let deaths = 0; deaths < 4; deaths++) {
        process.kill(pid, signal)
        await waitFor('the news of it', () => broker.program.stderr.match(/actor thread died/g)!.length === 2 + deaths)
        await replaced()
      }
      await waitFor('the descriptors of the dead', () => openDescriptors(pid) <= descriptors)
        .catch(() => expect(openDescriptors(pid), 'descriptors').to.equal(descriptors))
      expect(threadCount(pid), 'threads').to.equal(threads)
    })
  })
}
