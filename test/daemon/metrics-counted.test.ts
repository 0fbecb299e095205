import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { expect } from 'chai'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeFeature, FEATURE } from '#protocol/messages/connect.js'
import { encodeCallbackId } from '#protocol/messages/events.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { Ctl } from '../support/ctl.js'
import { ping } from '../support/frame-socket.js'
import { freePort } from '../support/free-port.js'
import { fetchPage, Metrics } from '../support/metrics.js'
import { pattern } from '../support/pattern.js'
import { Pki } from '../support/pki.js'
import type { RawClient } from '../support/raw-client.js'
import { canConnect } from '../support/sockets.js'
import { confirmed } from '../support/tls-client.js'
import { waitFor } from '../support/waiting.js'
import { Watched, type Wanted } from '../support/watched-metrics.js'

const { domainGetXmlDesc: CALL, storageVolUpload: UPLOAD, storageVolDownload: DOWNLOAD, domainSave: SAVE } = REMOTE
const EVENT = REMOTE.domainEventCallbackLifecycle
const EMPTY = Buffer.alloc(0)
const killer = new URL('../support/thread-killer.js', import.meta.url).href

describe('the metrics count', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('clients that come and go, and why', async () => {
    const watched = await Watched.start(cleanup)
    const { stage } = watched
    const clients: RawClient[] = []
    for (const where of [stage.broker.socket, stage.broker.tcpPort, stage.broker.tcpPort]) clients.push((await stage.open(where)).client)
    await watched.become(
      ['client_connections_total', { transport: 'unix' }, 1],
      ['client_connections_total', { transport: 'tcp', access: 'rw' }, 2],
      ['client_connections_total', {}, 3],
      ['clients', { transport: 'unix', state: 'serving' }, 1],
      ['clients', { transport: 'tcp', state: 'serving' }, 2],
      ['clients', {}, 3],
      ['actor_clients', {}, 3],
      ['clients_limit', { limit: 'max_clients' }, 5000],
      ['driver_connections', {}, 3],
      ['driver_up', { driver: 'qemu' }, 1],
      ['driver_connects_total', { driver: 'qemu', outcome: 'ok' }, 3],
      ['driver_connect_seconds_count', { driver: 'qemu' }, 3]
    )
    clients[0]!.destroy()
    expect((await clients[1]!.call(REMOTE.connectClose)).status).to.equal(STATUS.ok)
    clients[2]!.write(Buffer.alloc(64))
    await watched.become(
      ['client_disconnects_total', { transport: 'unix', reason: 'client' }, 1],
      ['client_disconnects_total', { transport: 'tcp', reason: 'client' }, 1],
      ['client_disconnects_total', { transport: 'tcp', reason: 'violation' }, 1],
      ['client_disconnects_total', {}, 3],
      ['clients', {}, 0],
      ['driver_connections', {}, 0]
    )
  })

  it('connections that nobody accepts', async () => {
    const watched = await Watched.start(cleanup, { max_queued_clients: 17 })
    const { broker } = watched.stage
    await watched.become(['listen_queue', { listener: 'tcp' }, 0], ['listen_queue_limit', { listener: 'tcp' }, 17])
    await new Ctl(cleanup, broker).ok('drain')
    for (let i = 0; i < 3; i++) await watched.stage.connect()
    await watched.become(['listen_queue', { listener: 'tcp' }, 3], ['clients', {}, 0], ['draining', {}, 1])
    await new Ctl(cleanup, broker).ok('undrain')
    await watched.become(['listen_queue', { listener: 'tcp' }, 0], ['clients', {}, 3], ['draining', {}, 0])
  })

  it('what is refused', async () => {
    const watched = await Watched.start(cleanup, {
      max_clients_per_address: 1, procedure_policy: ['listener=tcp => deny domain:hibernate'], auth_unix_ro: 'none'
    })
    const { stage } = watched
    const { client } = await stage.open()
    expect((await client.call(SAVE)).status).to.equal(STATUS.error)
    await stage.addDriver('virtqemud-sock-ro')
    const readonly = await stage.connect(stage.broker.roSocket)
    expect((await readonly.open('qemu:///system')).status).to.equal(STATUS.ok)
    for (let i = 0; i < 2; i++) expect((await readonly.call(SAVE)).status).to.equal(STATUS.error)
    for (let i = 0; i < 12; i++) {
      const more = await stage.connect()
      await more.end()
    }
    await watched.become(
      ['refusals_total', { reason: 'policy' }, 1],
      ['refusals_total', { reason: 'read_only' }, 2],
      ['refusals_total', { reason: 'per_identity' }, 12],
      ['calls_total', { procedure: 'DOMAIN_SAVE', outcome: 'refused' }, 3],
      ['log_suppressed_total', { reason: 'limited' }, 7]
    )
  })

  it('calls that wait, those that are lost, and pings that libvirtd would leave waiting', async () => {
    const watched = await Watched.start(cleanup)
    const { stage } = watched
    stage.driver.on(CALL, () => undefined)
    const { client, daemon } = await stage.open()
    client.write(ping())
    await watched.become(
      ['keepalive_total', { side: 'client', result: 'answered' }, 1],
      ['keepalive_total', { result: 'would_have_starved' }, 0]
    )
    for (let i = 0; i < 6; i++) client.post(CALL, EMPTY)
    await waitFor('the calls', () => daemon.serialsOf(CALL).length === 4)
    client.write(ping(), ping())
    daemon.write(ping())
    await watched.become(
      ['calls_in_flight', { driver: 'qemu' }, 4],
      ['calls_waiting', { driver: 'qemu' }, 2],
      ['keepalive_total', { side: 'client', result: 'answered' }, 3],
      ['keepalive_total', { side: 'client', result: 'would_have_starved' }, 2],
      ['keepalive_total', { side: 'driver', result: 'answered' }, 1]
    )
    const age = async (): Promise<number> => (await Metrics.of(watched.port)).value('oldest_call_seconds', { driver: 'qemu' })!
    const oldest = await age()
    await waitFor('it to grow older', async () => (await age()) > oldest)
    expect(oldest).to.be.above(0)
    stage.driver.on(CALL, () => EMPTY)
    daemon.destroy()
    for (let i = 0; i < 6; i++) await client.next({ type: MESSAGE.reply })
    expect((await client.call(CALL, EMPTY)).status).to.equal(STATUS.ok)
    await watched.become(
      ['calls_total', { procedure: 'DOMAIN_GET_XML_DESC', outcome: 'lost' }, 4],
      ['calls_total', { procedure: 'DOMAIN_GET_XML_DESC', outcome: 'refused' }, 2],
      ['calls_total', { procedure: 'DOMAIN_GET_XML_DESC', outcome: 'ok' }, 1],
      ['call_queue_seconds_count', { driver: 'qemu' }, 1],
      ['calls_in_flight', {}, 0],
      ['calls_waiting', {}, 0],
      ['oldest_call_seconds', {}, 0],
      ['driver_reconnects_total', { driver: 'qemu', outcome: 'ok' }, 1],
      ['driver_connects_total', { driver: 'qemu', outcome: 'ok' }, 2]
    )
    await stage.driver.stop()
    expect((await client.call(CALL, EMPTY)).status).to.equal(STATUS.error)
    await watched.become(
      ['driver_reconnects_total', { driver: 'qemu', outcome: 'failed' }, 1],
      ['driver_connects_total', { driver: 'qemu', outcome: 'absent' }, 1]
    )
  })

  it('time that calls wait, apart from what the daemon takes', async () => {
    const watched = await Watched.start(cleanup, { driver_max_requests: 1 })
    const { stage } = watched
    stage.driver.on(SAVE, () => undefined)
    const { client, daemon } = await stage.open()
    client.post(SAVE, EMPTY)
    client.post(SAVE, EMPTY)
    const first = await daemon.next({ proc: SAVE })
    await watched.become(['calls_waiting', { driver: 'qemu' }, 1])
    await new Promise(resolve => setTimeout(resolve, 300))
    daemon.reply(first)
    daemon.reply(await daemon.next({ proc: SAVE }))
    for (let i = 0; i < 2; i++) await client.next({ type: MESSAGE.reply })
    await client.call(REMOTE.connectGetLibVersion)
    await watched.become(
      ['call_queue_seconds_count', { driver: 'qemu', priority: 'high' }, 1],
      ['call_driver_seconds_count', { driver: 'qemu', priority: 'high' }, 1],
      ['call_queue_seconds_count', { driver: 'qemu', priority: 'low' }, 2],
      ['call_driver_seconds_count', { driver: 'qemu', priority: 'low' }, 2]
    )
    const after = await Metrics.of(watched.port)
    const labels = { driver: 'qemu', priority: 'low' }
    expect(after.value('call_queue_seconds_bucket', { ...labels, le: '0.25' })).to.equal(1)
    expect(after.value('call_queue_seconds_bucket', { ...labels, le: '300' })).to.equal(2)
    expect(after.value('call_queue_seconds_sum', labels)).to.be.within(0.29, 20)
    expect(after.value('call_driver_seconds_sum', labels)).to.be.within(0.29, 20)
    const both = after.value('call_queue_seconds_sum', labels)! + after.value('call_driver_seconds_sum', labels)!
    expect(after.value('call_duration_seconds_sum', { procedure: 'DOMAIN_SAVE' })).to.be.closeTo(both, 0.001)
  })

  it('streams, events and registrations', async () => {
    const watched = await Watched.start(cleanup)
    const { stage } = watched
    stage.driver.otherwise = () => EMPTY
    stage.driver.on(REMOTE.connectDomainEventCallbackRegisterAny, () => encodeCallbackId(1))
    const { client, daemon } = await stage.open()
    await client.call(UPLOAD, EMPTY, { serial: 100 })
    await client.call(DOWNLOAD, EMPTY, { serial: 101 })
    const download = daemon.calls.at(-1)!
    for (const size of [1000, 70_000]) {
      client.send({ proc: UPLOAD, serial: 100, type: MESSAGE.stream, status: STATUS.continue }, pattern(size))
    }
    daemon.data(download, pattern(30_000))
    await client.data(101, 30_000)
    await client.call(REMOTE.connectDomainEventCallbackRegisterAny, pattern(8))
    for (let i = 0; i < 3; i++) daemon.event(EVENT, encodeCallbackId(1))
    for (let i = 0; i < 3; i++) await client.next({ proc: EVENT })
    await watched.become(
      ['streams', {}, 2],
      ['stream_bytes_total', { direction: 'in' }, 71_000],
      ['stream_bytes_total', { direction: 'out' }, 30_000],
      ['events_total', { driver: 'qemu' }, 3],
      ['event_registrations', { driver: 'qemu' }, 1]
    )
    client.destroy()
    await watched.become(['streams', {}, 0], ['event_registrations', {}, 0], ['stream_bytes_total', {}, 101_000])
  })

  it('clients that read nothing, and those that do not answer', async () => {
    const watched = await Watched.start(cleanup, { keepalive_interval: 1, keepalive_count: 1, client_stall_timeout: 2 })
    const { stage } = watched
    stage.driver.on(CALL, () => pattern(4_000_000))
    const { client: silent } = await stage.open()
    silent.answerPings = false
    await silent.call(REMOTE.connectSupportsFeature, encodeFeature(FEATURE.keepalive))
    const { client: stalled } = await stage.open()
    stalled.stall()
    for (let i = 0; i < 4; i++) stalled.post(CALL, EMPTY)
    await waitFor('bytes that wait', async () => (await Metrics.of(watched.port)).value('queued_bytes', { side: 'client' })! > 10_000)
    await watched.become(
      ['keepalive_total', { side: 'client', result: 'missed' }, 1],
      ['client_disconnects_total', { reason: 'silent' }, 1],
      ['client_disconnects_total', { reason: 'stalled' }, 1],
      ['queued_bytes', {}, 0]
    )
    const after = await Metrics.of(watched.port)
    expect(after.value('backpressure_seconds_total', { side: 'client' })).to.be.within(1.5, 60)
    expect(after.value('backpressure_seconds_total', { side: 'driver' })).to.equal(0)
  })

  it('bytes of clients and daemons, those that have gone included', async () => {
    // A ping would have some, too.
    const watched = await Watched.start(cleanup, { keepalive_interval: -1 })
    const { stage } = watched
    const { client, daemon } = await stage.open(stage.broker.socket)
    for (const size of [0, 1000, 300_000]) expect((await client.call(CALL, pattern(size))).payload.length).to.equal(size)
    const [sent, got] = [client.socket.bytesWritten, client.socket.bytesRead]
    const [given, back] = [daemon.socket.bytesRead, daemon.socket.bytesWritten]
    const all: Wanted[] = [
      ['bytes_total', { side: 'client', direction: 'in' }, sent], ['bytes_total', { side: 'client', direction: 'out' }, got],
      ['bytes_total', { side: 'driver', direction: 'in' }, back], ['bytes_total', { side: 'driver', direction: 'out' }, given]
    ]
    await watched.become(...all)
    expect(sent).to.be.above(301_000)
    client.destroy()
    await watched.become(['clients', {}, 0], ...all.slice(0, 2))
  })

  it('what a daemon does not take', async () => {
    const watched = await Watched.start(cleanup)
    const { stage } = watched
    stage.driver.otherwise = () => EMPTY
    // Over TCP the kernel would move them past us.
    const { client, daemon } = await stage.open(stage.broker.socket)
    await client.call(UPLOAD, EMPTY, { serial: 100 })
    daemon.stall()
    const packet = pattern(60_000)
    for (let i = 0; i < 200; i++) client.send({ proc: UPLOAD, serial: 100, type: MESSAGE.stream, status: STATUS.continue }, packet)
    await waitFor('bytes that wait', async () => (await Metrics.of(watched.port)).value('queued_bytes', { side: 'driver' })! > 10_000)
    daemon.goOn()
    for (let i = 0; i < 200; i++) await daemon.next({ proc: UPLOAD, type: MESSAGE.stream })
    await watched.become(['queued_bytes', {}, 0], ['stream_bytes_total', { direction: 'in' }, 12_000_000])
    expect((await Metrics.of(watched.port)).value('backpressure_seconds_total', { side: 'driver' })).to.be.above(0)
  })

  it('shared driver connections, and why clients have one of their own', async () => {
    const watched = await Watched.start(cleanup, { driver_sharing: 'identity', driver_pool_size: 1, actor_threads: 1 })
    const { stage } = watched
    stage.driver.on(CALL, () => undefined)
    stage.driver.on(UPLOAD, () => EMPTY)
    const clients = await Promise.all(Array.from({ length: 5 }, () => stage.connect()))
    for (const client of clients) expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    await watched.become(
      ['pool_clients', {}, 5], ['pool_connections', { state: 'idle' }, 1], ['pool_connections', { state: 'busy' }, 0],
      ['driver_connections', {}, 1], ['driver_connects_total', {}, 1]
    )
    clients[0]!.post(CALL, EMPTY)
    await clients[1]!.call(UPLOAD, EMPTY)
    await watched.become(
      ['pool_connections', { state: 'busy' }, 1], ['pool_connections', { state: 'idle' }, 0], ['driver_connections', {}, 2],
      ['pool_own_connections_total', { reason: 'stream' }, 1], ['pool_own_connections_total', {}, 1]
    )
  })

  it('TLS handshakes, and when certificates expire', async () => {
    const pki = await Pki.make(cleanup)
    const server = await pki.server()
    const port = await freePort()
    const watched = await Watched.start(cleanup, {
      listen_tls: 1, tls_port: String(port), auth_tls: 'none', ca_file: pki.ca.certificate, cert_file: server.certificate,
      key_file: server.key, tls_allowed_dn_list: ['*client*']
    })
    await waitFor('the TLS listener', () => canConnect(port))
    const [good, bad] = [await pki.client(), await pki.client({ cn: 'stranger' })]
    const sockets = [await confirmed(port, good), await confirmed(port, good, { maxVersion: 'TLSv1.2' })]
    for (const socket of sockets) cleanup.defer(() => Promise.resolve(socket.destroy()))
    expect(await confirmed(port, bad).then(() => 'in', () => 'out')).to.equal('out')
    await watched.stage.broker.reload({ login_timeout: 2 })
    const silent = connect(port, '127.0.0.1').on('error', () => undefined)
    cleanup.defer(() => Promise.resolve(void silent.destroy()))
    for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '']) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined)
      await once(socket, 'connect')
      socket.end(bytes).resume()
      await once(socket, 'close')
    }
    await watched.become(
      ['tls_handshakes_total', { version: 'TLSv1.3', outcome: 'ok' }, 1],
      ['tls_handshakes_total', { version: 'TLSv1.2', outcome: 'ok' }, 1],
      ['tls_handshakes_total', { outcome: 'refused' }, 1],
      ['tls_handshakes_total', { version: 'unknown', outcome: 'failed' }, 1],
      // It was seen before that the listener is there.
      ['tls_handshakes_total', { version: 'unknown', outcome: 'gone' }, 2],
      ['tls_handshakes_total', { version: 'unknown', outcome: 'cut_off' }, 1],
      ['client_disconnects_total', { transport: 'tls', reason: 'login' }, 1],
      ['tls_handshake_duration_seconds_count', {}, 2],
      ['refusals_total', { reason: 'tls' }, 1],
      ['clients', { transport: 'tls', state: 'serving' }, 2]
    )
    const after = await Metrics.of(watched.port)
    for (const [role, file] of [['server', server.certificate], ['ca', pki.ca.certificate]] as const) {
      const { validFrom, validTo } = new X509Certificate(readFileSync(file))
      expect(after.value('certificate_not_after_seconds', { role, index: '0' })).to.equal(Date.parse(validTo) / 1000)
      expect(after.value('certificate_not_before_seconds', { role, index: '0' })).to.equal(Date.parse(validFrom) / 1000)
    }
  })

  it('reloads', async () => {
    const watched = await Watched.start(cleanup)
    const read = (metrics: Metrics): number => metrics.value('config_last_reload_success_timestamp_seconds')!
    await watched.become(['config_last_reload_successful', {}, 1])
    await watched.stage.broker.signalReload({ max_clients: 'many' })
    await watched.become(['config_last_reload_successful', {}, 0])
    expect(read(await Metrics.of(watched.port))).to.equal(read(watched.before))
    await watched.stage.broker.signalReload({ max_clients: 77 })
    await watched.become(['config_last_reload_successful', {}, 1], ['clients_limit', { limit: 'max_clients' }, 77])
    expect(read(await Metrics.of(watched.port))).to.be.above(read(watched.before))
  })

  it('threads that die, and go on counting where the last one has stopped', async () => {
    const watched = await Watched.start(cleanup, { actor_threads: 1 }, { nodeOptions: ['--import', killer] })
    const { stage } = watched
    const { client } = await stage.open()
    for (let i = 0; i < 5; i++) await client.call(CALL, EMPTY)
    await watched.become(['calls_total', { procedure: 'DOMAIN_GET_XML_DESC' }, 5], ['clients', {}, 1])
    stage.broker.program.child.kill('SIGUSR2')
    await client.end()
    await watched.become(
      ['actor_restarts_total', {}, 1], ['client_disconnects_total', { reason: 'thread' }, 1], ['clients', {}, 0],
      ['actor_threads', {}, 1]
    )
    const { client: next } = await stage.open()
    for (let i = 0; i < 5; i++) await next.call(CALL, EMPTY)
    await watched.become(['calls_total', { procedure: 'DOMAIN_GET_XML_DESC' }, 10])
  })

  it('also while a thread hangs and others have much to do', async () => {
    const watched = await Watched.start(cleanup, {}, { nodeOptions: ['--import', killer] })
    const { stage, port } = watched
    const clients: RawClient[] = []
    for (let i = 0; i < 8; i++) clients.push((await stage.open()).client)
    let calls = 0
    let over = false
    cleanup.defer(() => Promise.resolve(void (over = true)))
    const flood = async (client: RawClient): Promise<void> => {
      while (!over && !client.closed) {
        await Promise.all(Array.from({ length: 4 }, () => client.call(CALL, EMPTY)))
        calls += 4
      }
    }
    for (const client of clients) flood(client).catch(() => undefined)
    await waitFor('a flood', () => calls > 1000)
    // It cannot be ended, and hangs for as long as the test takes.
    stage.broker.program.child.kill('SIGSTKFLT')
    await stage.broker.program.hasSaid('a thread hangs')
    await waitFor('the end of its health', async () => (await fetchPage(port, '/livez')).status === 503)
    expect((await fetchPage(port, '/livez')).body).to.match(/"reasons":\["thread [12] does not answer"\]/)
    const [busy, idle] = [await Metrics.of(port), watched.before]
    expect(Math.max(...['1', '2'].map(thread => busy.value('actor_utilization', { thread })!))).to.be.within(0.05, 1)
    for (const of of ['p50', 'p99', 'max']) {
      for (const thread of ['1', '2', 'supervisor']) {
        expect(busy.value('actor_loop_delay_seconds', { thread, of }), `${thread} ${of}`).to.be.within(0, 60)
        expect(idle.value('actor_loop_delay_seconds', { thread, of }), `${thread} ${of}, before`).to.be.within(0, 60)
      }
    }
    const before = calls
    const { value } = { value: (await Metrics.of(port)).value('calls_total', { procedure: 'DOMAIN_GET_XML_DESC' })! }
    expect(value).to.be.at.least(before - 64)
    expect((await Metrics.of(port)).value('actor_threads_stuck')).to.equal(1)
    await waitFor('more calls', async () => (
      (await Metrics.of(port)).value('calls_total', { procedure: 'DOMAIN_GET_XML_DESC' })! > value
    ))
    await stage.broker.program.stop('SIGKILL')
  })
})
