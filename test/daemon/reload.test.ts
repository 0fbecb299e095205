import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { callFrame } from '#protocol/messages/frames.js'
import { REMOTE } from '#protocol/procedures.js'
import { KEYS, keyNames, type KeyName } from '#main/config/keys.js'
import { close } from '#workers/os/libc.js'
import { listenUnix } from '#workers/os/listening-sockets.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { FakeDriver, type DriverConnection } from '../support/fake-driver.js'
import { pattern } from '../support/pattern.js'
import { threadCount } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const { domainGetXmlDesc: GET_XML, domainSave: SAVE, connectClose: CLOSE, connectOpen: OPEN } = REMOTE
const killer = new URL('../support/thread-killer.js', import.meta.url).href
/** Longer than any test. */
const NEVER = 1000

/** What is seen of a setting in a thread. */
interface Probe {
  before: (dir: string) => Conf
  after: (dir: string) => Conf
  /** With a client that came before the reload, or with one of a thread that came after it. Must leave nothing behind. */
  shows: (stage: Stage, client: RawClient) => Promise<void>
  /** The client is to have opened a connection. */
  opened?: boolean
}

const conf = (keys: Conf) => (): Conf => keys

/** As many calls as were sent get to the daemon at once by one connection, in their order. */
function inFlight(count: number): Probe['shows'] {
  return async (stage, client) => {
    stage.driver.on(SAVE, () => undefined)
    const { connections } = stage.driver
    const payloads = Array.from({ length: count + 1 }, (_, index) => pattern(8, index))
    const sent = payloads.map(payload => client.post(SAVE, payload))
    const calls = (daemon: DriverConnection): Buffer[] => daemon.calls.filter(({ proc }) => proc === SAVE).map(({ payload }) => payload)
    const busy = await waitFor('the calls', () => connections.find(daemon => calls(daemon).length >= count))
    expect(calls(busy)).to.deep.equal(payloads.slice(0, count))
    for (let i = 0; i <= count; i++) {
      const { call, daemon } = await stage.driver.taken({ proc: SAVE })
      daemon.reply(call)
    }
    for (const serial of sent) expect((await client.next({ serial })).status).to.equal(STATUS.ok)
    for (const daemon of connections) daemon.calls.length = 0
  }
}

/** One call at a time on each connection, so that there are soon two. */
const shared = (more: Conf) => conf({ driver_sharing: 'identity', driver_max_requests: 1, driver_idle_timeout: NEVER, ...more })

async function closesOneOfTwo(stage: Stage, client: RawClient): Promise<void> {
  const answered = stage.driver.otherwise
  stage.driver.otherwise = () => undefined
  const serials = [client.post(GET_XML), client.post(GET_XML)]
  const busy = (): DriverConnection[] => stage.driver.connections.filter(({ inbox }) => inbox.some(({ proc }) => proc === GET_XML))
  await waitFor('calls on two connections', () => busy().length === 2)
  const [first, second] = busy()
  for (const daemon of [first!, second!]) daemon.reply(await daemon.next({ proc: GET_XML }))
  for (const serial of serials) await client.next({ serial })
  await waitFor('the end of one', () => first!.closed || second!.closed)
  expect(first!.closed && second!.closed).to.equal(false)
  stage.driver.otherwise = answered
}

/** A daemon beside the one that is there. */
async function opensAt(stage: Stage, client: RawClient, path: string, uri: string): Promise<void> {
  const driver = await FakeDriver.listen(stage.cleanup, path)
  expect((await client.open(uri)).status).to.equal(STATUS.ok)
  expect(driver.connections).to.have.length(1)
  await driver.stop()
}

const logs = (what: RegExp): Probe['shows'] => async (stage, client) => {
  client.destroy()
  await waitFor('the line', () => what.test(stage.broker.program.stderr.slice(stage.broker.program.stderr.lastIndexOf('loaded anew'))))
}

const PROBES: Partial<Record<KeyName, Probe>> = {
  driver_max_requests: {
    before: conf({ driver_max_requests: 1 }), after: conf({ driver_max_requests: 3 }), shows: inFlight(3), opened: true
  },
  max_client_requests: {
    before: conf({ max_client_requests: 1 }), after: conf({ max_client_requests: 2 }), shows: inFlight(2), opened: true
  },
  driver_open_timeout: {
    before: conf({ driver_open_timeout: NEVER }),
    after: conf({ driver_open_timeout: 1 }),
    async shows(stage, client) {
      stage.driver.on(OPEN, () => undefined)
      expect((await client.open('qemu:///system')).payload.toString()).to.contain('within 1 s (driver_open_timeout)')
      stage.driver.on(OPEN, () => Buffer.alloc(0))
    }
  },
  driver_pool_size: {
    before: shared({ driver_pool_size: 1 }),
    after: shared({ driver_pool_size: 3 }),
    async shows(stage, client) {
      const { otherwise: answered, connections } = stage.driver
      const before = connections.length
      stage.driver.otherwise = (call, daemon) => {
        setTimeout(() => daemon.reply(call), 20)
        return undefined
      }
      // None of them is stuck, which would be another reason to open one.
      const others = await Promise.all([1, 2].map(() => stage.connect()))
      for (const other of others) await other.open('qemu:///system')
      const poll = async (one: RawClient): Promise<void> => {
        while (connections.length < before + 2) await one.call(GET_XML)
      }
      await Promise.all([client, ...others].map(poll))
      stage.driver.otherwise = answered
      for (const other of others) other.destroy()
    },
    opened: true
  },
  driver_idle_timeout: {
    before: shared({ driver_idle_timeout: NEVER }), after: shared({ driver_idle_timeout: 1 }), shows: closesOneOfTwo, opened: true
  },
  driver_max_idle: {
    before: shared({ driver_max_idle: NEVER }), after: shared({ driver_max_idle: 1 }), shows: closesOneOfTwo, opened: true
  },
  collapse_reads: {
    before: conf({ driver_sharing: 'identity' }),
    after: conf({ driver_sharing: 'identity', collapse_reads: 1 }),
    async shows(stage, client) {
      const sent = (): number => stage.driver.connections.reduce((sum, one) => sum + one.serialsOf(GET_XML).length, 0)
      const before = sent()
      client.write(Buffer.concat([70_001, 70_002].map(serial => callFrame(GET_XML, serial))))
      for (const serial of [70_001, 70_002]) expect((await client.next({ serial })).status).to.equal(STATUS.ok)
      expect(sent() - before).to.equal(1)
    },
    opened: true
  },
  driver_connect_timeout: {
    before: conf({ driver_connect_timeout: NEVER }),
    after: conf({ driver_connect_timeout: 1 }),
    async shows(stage, client) {
      // Nobody accepts, and there is room for one.
      const path = join(stage.driverDir, 'virtxend-sock')
      const socket = listenUnix(path, 0o700, undefined, 0)
      const first = connect(path)
      await once(first, 'connect')
      expect((await client.open('xen:///system')).payload.toString()).to.contain('Connection timed out')
      first.destroy()
      socket.removeFile()
      close(socket.fd)
    }
  },
  driver_reconnect: {
    before: conf({ driver_reconnect: 0 }),
    after: conf({ driver_reconnect: 1 }),
    async shows(stage, client) {
      const { length } = stage.driver.connections
      stage.driver.latest.destroy()
      expect((await client.call(GET_XML, pattern(5))).payload).to.deep.equal(pattern(5))
      expect(stage.driver.connections).to.have.length(length + 1)
    },
    opened: true
  },
  driver_socket_dir: {
    before: conf({}),
    after: dir => ({ driver_socket_dir: dir }),
    shows: (stage, client) => opensAt(stage, client, join(stage.broker.dir, 'virtlxcd-sock'), 'lxc:///system')
  },
  driver_sockets: {
    before: conf({}),
    after: dir => ({ driver_sockets: [`bhyve=${dir}/elsewhere-sock`] }),
    shows: (stage, client) => opensAt(stage, client, join(stage.broker.dir, 'elsewhere-sock'), 'bhyve:///system')
  },
  client_stall_timeout: {
    before: conf({ client_stall_timeout: 0 }),
    after: conf({ client_stall_timeout: 1 }),
    async shows(stage, client) {
      client.stall()
      const { latest: daemon } = stage.driver
      const large = pattern(8_000_000)
      stage.driver.on(GET_XML, () => large)
      client.post(GET_XML)
      await waitFor('the daemon to be rid of it', () => daemon.closed)
      await waitFor('the word', () => stage.broker.program.stderr.includes('nothing read for 1 s'))
    },
    opened: true
  },
  close_timeout: {
    before: conf({ close_timeout: NEVER }),
    after: conf({ close_timeout: 1 }),
    async shows(stage, client) {
      stage.driver.on(SAVE, () => undefined)
      client.post(SAVE)
      client.post(CLOSE)
      await client.end()
    },
    opened: true
  },
  // What a thread's clients are closed for is told at this level.
  log_level: {
    before: conf({ log_level: 2 }),
    after: conf({ log_level: 1 }),
    shows: logs(/debug : rpc.netserverclient : client \d+ .*closed/)
  },
  log_filters: {
    before: conf({ log_outputs: '1:stderr' }),
    after: conf({ log_outputs: '1:stderr', log_filters: '1:netserverclient' }),
    shows: logs(/debug : rpc.netserverclient : client \d+ .*closed/)
  },
  audit_fail_closed: {
    before: dir => ({ audit_output: `unix:${dir}/nobody`, audit_fail_closed: 0 }),
    after: dir => ({ audit_output: `unix:${dir}/nobody`, audit_fail_closed: 1 }),
    async shows(_stage, client) {
      await waitFor('a refusal', async () => {
        const { status, payload } = await client.call(SAVE)
        return status === STATUS.error && payload.toString().includes('audit_fail_closed')
      })
    },
    opened: true
  },
  log_outputs: {
    before: conf({ log_level: 1 }),
    after: dir => ({ log_level: 1, log_outputs: `2:stderr 1:file:${dir}/second.log` }),
    async shows(stage, client) {
      const written = async (): Promise<string> => await readFile(join(stage.broker.dir, 'second.log'), 'utf8').catch(() => '')
      const closed = async (): Promise<number> => (await written()).match(/netserverclient : client \d+ .*closed/g)?.length ?? 0
      const before = await closed()
      client.destroy()
      await waitFor('the line', async () => (await closed()) > before)
    }
  }
}

/** Settings that threads do not have. */
const ELSEWHERE: readonly KeyName[] = [
  'max_clients', 'max_anonymous_clients', 'max_handshakes', 'actor_min_clients', 'tls_watch_files',
  'admin_max_clients', 'admin_max_queued_clients', 'log_format',
  'shutdown_timeout', 'drain_delay',
  // page.test.ts
  'metrics_token',
  // reload-listeners.test.ts
  'listen_tcp', 'tcp_port', 'listen_tls', 'tls_port', 'listen_addr', 'max_queued_clients'
]

describe('a setting that is live', () => {
  it('is tried here, or is none of the threads', () => {
    const live = keyNames.filter(name => {
      const { effect } = KEYS[name]
      return effect.when === 'now' && effect.reach === 'live'
    })
    expect([...Object.keys(PROBES), ...ELSEWHERE]).to.have.members(live)
  })

  for (const [name, { before, after, shows, opened = false }] of Object.entries(PROBES)) {
    describe(name, () => {
      const cleanup = new Cleanup()
      afterEach(() => cleanup.run())

      it('reaches the threads that run, with the clients that they have, and those that replace them', async () => {
        const stage = await Stage.start(cleanup, { actor_threads: 1, log_level: 2, ...before('') }, { nodeOptions: ['--import', killer] })
        const { broker } = stage
        const start = async (): Promise<RawClient> => (opened ? (await stage.open()).client : stage.connect())
        const client = await start()
        // It is with its thread.
        await client.call(REMOTE.authList)
        const threads = threadCount(broker.program.pid)
        await broker.reload({ log_level: 2, ...after(broker.dir) })
        await shows(stage, client)
        stage.driver.on(SAVE, call => call.payload)
        // The one that read the file is not to die in the place of the actor thread.
        await waitFor('the end of the reload', () => threadCount(broker.program.pid) === threads)
        process.kill(broker.program.pid, 'SIGUSR2')
        await waitFor('the death', () => broker.program.stderr.includes('actor thread died'))
        // One that has not lived long is replaced a moment later, and who comes until then is closed.
        const served = async (): Promise<RawClient> => {
          const next = await start()
          await next.call(REMOTE.authList)
          return next
        }
        await shows(stage, await waitFor('a thread in its place', () => served().catch(() => undefined)))
      })
    })
  }
})

describe('a reload', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('lets those in that wait when max_clients has become larger', async () => {
    const stage = await Stage.start(cleanup, { log_level: 2, max_clients: 1, max_anonymous_clients: 1 })
    await stage.open()
    const second = await stage.connect()
    const serial = second.post(REMOTE.authList)
    await waitFor('it to wait', () => stage.broker.program.stderr.includes('1 clients (max_clients): others wait'))
    await stage.broker.reload({ max_clients: 2 })
    expect((await second.next({ serial })).status).to.equal(STATUS.ok)
  })

  it('spreads clients that come from then on by the new actor_min_clients', async () => {
    const conf = { log_level: 1, actor_threads: 2, actor_min_clients: 100 }
    const stage = await Stage.start(cleanup, conf, { nodeOptions: ['--import', killer] })
    await stage.probesForgotten()
    await stage.open()
    const threads = threadCount(stage.broker.program.pid)
    await stage.broker.reload({ actor_min_clients: 1 })
    await waitFor('the end of the reload', () => threadCount(stage.broker.program.pid) === threads)
    for (let i = 0; i < 3; i++) await stage.open()
    process.kill(stage.broker.program.pid, 'SIGUSR2')
    await waitFor('a death', () => /; 2 clients are lost with it/.test(stage.broker.program.stderr))
  })

  it('closes driver connections that have been idle for longer than they may be now', async () => {
    const stage = await Stage.start(cleanup, { log_level: 2, driver_sharing: 'identity', driver_idle_timeout: NEVER })
    const { client, daemon } = await stage.open()
    await client.call(CLOSE)
    await client.end()
    await stage.broker.reload({ driver_idle_timeout: 1 })
    await waitFor('its end', () => daemon.closed)
  })

  it('names what has changed and needs a restart, and leaves it as it is', async () => {
    const stage = await Stage.start(cleanup, { log_level: 2 })
    await stage.broker.reload({ unix_sock_dir: '/tmp', auth_tcp: 'polkit', actor_threads: 1 })
    const { stderr } = stage.broker.program
    expect(stderr).to.match(/warning : .*unix_sock_dir, auth_tcp, actor_threads: changed, and used from the next start on/)
    expect((await (await stage.connect()).call(REMOTE.authList)).status).to.equal(STATUS.ok)
  })

  const broken = [
    ['cannot be read', 'max_clients = = 3\n', /syntax error/],
    ['asks for what cannot be', 'driver_open_timeout = 0\nlog_level = 1\n', /must be greater than 0/],
    ['names a log file that cannot be opened', 'log_outputs = "1:file:/none/here"\nlog_level = 1\n', /failed to open \/none\/here/]
  ] as const
  for (const [what, text, why] of broken) {
    it(`changes nothing when the file ${what}, and says so`, async () => {
      const stage = await Stage.start(cleanup, { driver_max_requests: 1 })
      const { broker, driver } = stage
      driver.on(SAVE, () => undefined)
      const { client, daemon } = await stage.open()
      const file = join(broker.dir, 'broker.conf')
      await writeFile(file, `${text}driver_max_requests = 4\n${await readFile(file, 'utf8')}`)
      broker.program.child.kill('SIGHUP')
      await waitFor('the word', () => broker.program.stderr.includes('configuration not loaded anew, the old one stays in use'))
      await broker.program.hasSaid(why)
      for (let i = 0; i < 3; i++) client.post(SAVE)
      // Answered by the broker, after it has seen to those.
      await client.call(REMOTE.authList)
      await daemon.next({ proc: SAVE })
      expect(daemon.serialsOf(SAVE)).to.have.length(1)
      // And nothing of it was written at another level.
      expect(broker.program.stderr).not.to.contain('debug :')
      await stage.broker.program.stop()
    })
  }
})
