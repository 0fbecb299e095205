import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { rpcError } from '#protocol/errors.js'
import { HEADER_BYTES, MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { Ctl } from '../support/ctl.js'
import { frame } from '../support/frame-socket.js'
import { freePort } from '../support/free-port.js'
import { Metrics } from '../support/metrics.js'
import { pattern } from '../support/pattern.js'
import { openDescriptors } from '../support/process-state.js'
import { Stage } from '../support/stage.js'
import { settled, waitFor } from '../support/waiting.js'
import { Watched } from '../support/watched-metrics.js'

const { domainGetXmlDesc: CALL, connectOpen: OPEN } = REMOTE
const EMPTY = Buffer.alloc(0)

// Values of labels that metrics-counted.test.ts has no occasion for.
describe('the metrics tell apart', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('clients that have not logged in, and what became of them', async () => {
    const watched = await Watched.start(cleanup, {
      auth_unix_rw: 'polkit', auth_unix_ro: 'none', system_bus_address: 'unix:path=/nonexistent', max_clients: 77,
      max_anonymous_clients: 33, max_handshakes: 22
    })
    const { stage } = watched
    const silent = [await stage.connect(stage.broker.socket), await stage.connect(stage.broker.socket)]
    await stage.addDriver('virtqemud-sock-ro')
    const readonly = await stage.connect(stage.broker.roSocket)
    expect((await readonly.open('qemu:///system')).status).to.equal(STATUS.ok)
    await watched.become(
      ['clients_unauthenticated', {}, 2],
      ['clients', { transport: 'unix', access: 'rw', state: 'authenticating' }, 2],
      ['clients', { transport: 'unix', access: 'ro', state: 'serving' }, 1],
      ['client_connections_total', { transport: 'unix', access: 'ro' }, 1],
      ['clients_limit', { limit: 'max_clients' }, 77],
      ['clients_limit', { limit: 'max_anonymous_clients' }, 33],
      ['clients_limit', { limit: 'max_handshakes' }, 22]
    )
    for (const client of silent) client.destroy()
    await watched.become(['client_disconnects_total', { transport: 'unix', reason: 'client' }, 2], ['clients_unauthenticated', {}, 0])
    await stage.broker.reload({ login_timeout: 1 })
    const late = [await stage.connect(stage.broker.socket), await stage.connect(stage.broker.socket)]
    for (const client of late) await client.end()
    await watched.become(
      ['client_disconnects_total', { transport: 'unix', reason: 'login' }, 2], ['client_disconnects_total', {}, 4],
      ['clients_unauthenticated', {}, 0]
    )
    const ctl = new Ctl(cleanup, stage.broker)
    const [{ id }] = await ctl.json<[{ id: number }]>('clients')
    await ctl.ok('disconnect', String(id))
    await watched.become(['client_disconnects_total', { transport: 'unix', reason: 'administrator' }, 1])
  })

  it('connections that wait for a place', async () => {
    const watched = await Watched.start(cleanup, { max_clients: 2, max_anonymous_clients: 2 })
    const clients = [await watched.stage.open(), await watched.stage.open()]
    for (let i = 0; i < 3; i++) await watched.stage.connect()
    await watched.become(['clients', {}, 2], ['clients_waiting', {}, 3])
    clients[0]!.client.destroy()
    await watched.become(['clients', {}, 2], ['clients_waiting', {}, 2])
  })

  it('why a driver daemon could not be had, and calls that it has left without an answer', async () => {
    const watched = await Watched.start(cleanup)
    const { stage } = watched
    stage.driver.on(OPEN, () => undefined)
    const leaver = await stage.connect()
    leaver.post(OPEN, encodeOpen({ name: 'qemu:///system', flags: 0 }))
    await waitFor('its connection', () => stage.driver.connections.length === 1)
    leaver.destroy()
    await watched.become(['driver_connects_total', { driver: 'qemu', outcome: 'given_up' }, 1])
    const client = await stage.connect()
    stage.driver.on(OPEN, () => rpcError('no'))
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.error)
    await stage.broker.reload({ driver_open_timeout: 1 })
    stage.driver.on(OPEN, () => undefined)
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.error)
    await watched.become(
      ['driver_connects_total', { driver: 'qemu', outcome: 'late' }, 1],
      ['driver_connects_total', { driver: 'qemu', outcome: 'failed' }, 1],
      ['driver_connects_total', {}, 3]
    )
    await stage.broker.reload({ keepalive_interval: 1, keepalive_count: 1 })
    stage.driver.on(OPEN, () => EMPTY).on(CALL, () => undefined)
    const { client: other, daemon } = await stage.open()
    daemon.answerPings = false
    expect((await other.call(CALL, EMPTY)).status).to.equal(STATUS.error)
    await watched.become(
      ['calls_total', { procedure: 'DOMAIN_GET_XML_DESC', driver: 'qemu', outcome: 'timeout' }, 1],
      ['calls_total', { procedure: 'DOMAIN_GET_XML_DESC', driver: 'qemu', outcome: 'lost' }, 0],
      ['keepalive_total', { side: 'driver', result: 'missed' }, 1]
    )
    const status = await new Ctl(cleanup, stage.broker).json<{ calls: Record<string, number> }>('status')
    expect(status.calls).to.include({ timeout: 1 })
  })

  it('a client whose daemon died within a long reply', async () => {
    const watched = await Watched.start(cleanup)
    const { client, daemon } = await watched.stage.open()
    watched.stage.driver.on(CALL, () => undefined)
    client.post(CALL, EMPTY)
    const { serial } = await daemon.next({ proc: CALL })
    const whole = frame({ prog: PROGRAM.remote, proc: CALL, serial, type: MESSAGE.reply }, pattern(3_000_000))
    daemon.write(whole.subarray(0, 2_000_000))
    await waitFor('a part of it', () => client.received > HEADER_BYTES + 1_500_000)
    daemon.destroy()
    await client.end()
    await watched.become(['client_disconnects_total', { transport: 'tcp', reason: 'driver' }, 1])
  })

  it('clients that share connections, and wait because all calls are stuck', async () => {
    const watched = await Watched.start(cleanup, {
      driver_sharing: 'identity', driver_max_requests: 1, driver_pool_size: 1, actor_threads: 1
    })
    const { stage } = watched
    stage.driver.on(CALL, () => undefined)
    const clients = await Promise.all(Array.from({ length: 34 }, () => stage.connect()))
    for (const client of clients) expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    for (const client of clients) client.post(CALL, EMPTY)
    await watched.become(
      ['pool_clients', {}, 34], ['pool_connections', { state: 'busy' }, 32], ['pool_clients_waiting', {}, 2],
      ['calls_in_flight', { driver: 'qemu' }, 32], ['calls_waiting', { driver: 'qemu' }, 2]
    )
  })

  it('the process as the kernel has it', async () => {
    const before = Date.now() / 1000
    const watched = await Watched.start(cleanup, { driver_sharing: 'off' })
    const { stage, port } = watched
    const { pid } = stage.broker.program
    const descriptors = await settled('descriptors', () => openDescriptors(pid))
    const first = await Metrics.of(port)
    expect(first.value('start_time_seconds')).to.be.within(before - 5, Date.now() / 1000)
    expect(first.values('build_info', 'node')).to.deep.equal([process.versions.node])
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))!
    expect(first.value('max_fds')).to.be.within(0.9 * Number(soft), Number(soft) - 1)
    const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
    expect(first.value('resident_memory_bytes')).to.be.within(700 * Number(kilobytes), 1400 * Number(kilobytes))
    await Promise.all(Array.from({ length: 10 }, () => stage.open()))
    // And that of the page's own connection.
    await waitFor('the descriptors', async () => (await Metrics.of(port)).value('open_fds') === descriptors + 20 + 1)
    await waitFor('the end of that', () => openDescriptors(pid) === descriptors + 20)
  })

  it('lines of the log that say what was said, and those that nobody took', async () => {
    const port = await freePort()
    const log_outputs = ['3:stderr', '1:file:/dev/full'].join(' ')
    const stage = await Stage.start(cleanup, { metrics_listen: `127.0.0.1:${port}`, log_level: 3, log_outputs })
    await stage.broker.signalReload({ max_clients: 'many' })
    await stage.broker.program.hasSaid(/max_clients/)
    await stage.broker.signalReload({ max_clients: 'many' })
    for (const reason of ['repeated', 'lost']) {
      await waitFor(reason, async () => (await Metrics.of(port)).value('log_suppressed_total', { reason })! > 0)
    }
  })
})
