import { statSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect } from 'chai'
import { CODE, rpcError } from '#protocol/errors.js'
import { MESSAGE } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Cleanup } from '../support/cleanup.js'
import { freePort } from '../support/free-port.js'
import { documented } from '../support/documented-metrics.js'
import { fetchPage, Metrics } from '../support/metrics.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const CALL = REMOTE.domainGetXmlDesc
const EMPTY = Buffer.alloc(0)

describe('the metrics', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('tell of each call what a client has got', async () => {
    const port = await freePort()
    const stage = await Stage.start(cleanup, { metrics_listen: `127.0.0.1:${port}`, actor_threads: 2 })
    stage.driver.on(REMOTE.domainSave, () => rpcError('no'))
    const before = await Metrics.of(port)
    expect(before.value('calls_total')).to.equal(undefined)
    for (let clients = 0; clients < 3; clients++) {
      const client = await stage.connect()
      await client.open('qemu:///system')
      for (let calls = 0; calls < 4; calls++) await client.call(CALL, EMPTY)
      await client.call(REMOTE.domainSave, EMPTY)
      await client.call(9999, EMPTY)
      await client.call(REMOTE.authPolkit, EMPTY)
    }
    const after = await Metrics.of(port)
    const calls = (procedure: string, outcome: string): number | undefined => after.value('calls_total', { procedure, outcome })
    expect(calls('CONNECT_OPEN', 'ok')).to.equal(3)
    expect(calls('DOMAIN_GET_XML_DESC', 'ok')).to.equal(12)
    expect(calls('DOMAIN_SAVE', 'error')).to.equal(3)
    expect(calls('DOMAIN_SAVE', 'ok')).to.equal(0)
    expect(calls('_OTHER', 'ok')).to.equal(3)
    expect(calls('AUTH_POLKIT', 'refused')).to.equal(3)
    expect(after.value('calls_total', { driver: 'qemu' })).to.equal(24)
    expect(after.value('call_errors_total', { driver: 'qemu', code: String(CODE.rpc) })).to.equal(3)
    for (const name of ['call_duration_seconds', 'call_queue_seconds', 'call_driver_seconds']) {
      expect(after.value(`${name}_count`, { driver: 'qemu' }), name).to.equal(18)
      expect(after.value(`${name}_bucket`, { driver: 'qemu', le: '+Inf' }), name).to.equal(18)
      expect(after.value(`${name}_sum`, { driver: 'qemu' }), name).to.be.within(0, 60)
    }
    expect(after.value('call_duration_seconds_count', { procedure: 'DOMAIN_GET_XML_DESC' })).to.equal(12)
  })

  it('are those that are documented', async () => {
    const port = await freePort()
    const stage = await Stage.start(cleanup, { metrics_listen: `127.0.0.1:${port}` })
    const { client } = await stage.open()
    await client.call(CALL, EMPTY)
    const { types } = await Metrics.of(port)
    const told = new Map(Array.from(documented(), ([name, { type }]) => [name, type]))
    expect(Object.fromEntries([...types].sort())).to.deep.equal(Object.fromEntries([...told].sort()))
  })

  it('come in the format that is asked for', async () => {
    const port = await freePort()
    const stage = await Stage.start(cleanup, { metrics_listen: `localhost:${port}` })
    await stage.open()
    const plain = await fetchPage(port, '/metrics')
    expect(plain.contentType).to.equal('text/plain; version=0.0.4; charset=utf-8')
    expect(plain.body).to.contain('# TYPE virtbroker_calls_total counter\n')
    const open = await fetchPage(port, '/metrics', { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' })
    expect(open.contentType).to.equal('application/openmetrics-text; version=1.0.0; charset=utf-8')
    expect(open.body).to.contain('# TYPE virtbroker_calls counter\nvirtbroker_calls_total{').and.to.match(/\n# EOF\n$/)
  })

  it('can be had at a UNIX socket that is for the owner alone, and is gone at the end', async () => {
    const path = join(await tempDir(cleanup), 'metrics')
    const stage = await Stage.start(cleanup, { metrics_listen: `unix:${path}` })
    expect((await Metrics.of(path)).value('build_info')).to.equal(1)
    expect(statSync(path).mode & 0o777).to.equal(0o600)
    await stage.broker.program.stop()
    expect(statSync(path, { throwIfNoEntry: false })).to.equal(undefined)
  })

  it('tell how many calls were slow, and the log of whom and what', async () => {
    const port = await freePort()
    const conf = { metrics_listen: `127.0.0.1:${port}`, driver_max_requests: 1, log_level: 2 }
    const stage = await Stage.start(cleanup, { ...conf, slow_call_ms: 100_000 })
    const { client: quick } = await stage.open()
    await quick.call(CALL, EMPTY)
    quick.destroy()
    await stage.broker.reload({ slow_call_ms: 100 })
    const { client, daemon } = await stage.open()
    stage.driver.on(CALL, () => undefined)
    const name = new XdrWriter(64).string("guest's\n").finish()
    for (let i = 0; i < 2; i++) client.post(CALL, name)
    const first = await daemon.next({ proc: CALL })
    await new Promise(resolve => setTimeout(resolve, 150))
    daemon.reply(first)
    const second = await stage.driver.taken({ proc: CALL })
    second.daemon.reply(second.call)
    for (let i = 0; i < 2; i++) await client.next({ type: MESSAGE.reply })
    const { program } = stage.broker
    const who = `warning : remote.remote_driver : client \\d+ at 127.0.0.1:\\d+: slow call: DOMAIN_GET_XML_DESC 'guest's\\?' took`
    const time = '\\d+\\.\\d+ s'
    await program.hasSaid(new RegExp(`${who} ${time} \\(0\\.000 s in the broker, ${time} with the driver daemon\\)`))
    await program.hasSaid(new RegExp(`${who} ${time} \\((?!0\\.000 )${time} in the broker, ${time} with the driver daemon\\)`))
    const { value } = { value: (await Metrics.of(port)).value('slow_calls_total', { procedure: 'DOMAIN_GET_XML_DESC', driver: 'qemu' }) }
    expect(value).to.equal(2)
    expect(program.stderr.match(/slow call: DOMAIN_GET_XML_DESC/g)).to.have.length(2)
  })

  it('are missing where something else has the place, which the log says, and clients are served', async () => {
    const port = await freePort()
    const other = createServer().listen(port, '127.0.0.1')
    cleanup.defer(() => Promise.resolve(other.close()))
    await once(other, 'listening')
    const stage = await Stage.start(cleanup, { metrics_listen: `127.0.0.1:${port}` })
    await stage.broker.program.hasSaid(new RegExp(
      `the metrics cannot be had: Unable to bind to port ${port} of 127.0.0.1: Address already in use; ` +
      `'127.0.0.1:${port}' is in use by process ${process.pid} \\(.*\\): stop that first \\(.*\\), or set metrics_listen`
    ))
    await stage.open()
  })
})

describe('the health of the broker', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const health = async (port: number, path: string): Promise<{ status: number; reasons: string[] }> => {
    const { status, body } = await fetchPage(port, path)
    return { status, reasons: (JSON.parse(body) as { reasons: string[] }).reasons }
  }

  it('is good while clients are served, and not ready from the beginning of a stop', async () => {
    const port = await freePort()
    const stage = await Stage.start(cleanup, { metrics_listen: `127.0.0.1:${port}`, drain_delay: 1000 })
    for (const path of ['/livez', '/readyz']) expect(await health(port, path)).to.deep.equal({ status: 200, reasons: [] })
    stage.broker.program.child.kill('SIGTERM')
    await waitFor('the end of its readiness', async () => (await health(port, '/readyz')).status === 503)
    expect(await health(port, '/readyz')).to.deep.equal({ status: 503, reasons: ['the broker is draining'] })
    expect(await health(port, '/livez')).to.deep.equal({ status: 200, reasons: [] })
    // Nobody was told to go elsewhere before that.
    await stage.open()
  })

  it('is not ready without a driver daemon', async () => {
    const port = await freePort()
    const stage = await Stage.start(cleanup, { metrics_listen: `127.0.0.1:${port}` })
    await stage.driver.stop()
    await waitFor('the end of its readiness', async () => (await health(port, '/readyz')).status === 503)
    expect((await health(port, '/readyz')).reasons).to.deep.equal(['no driver daemon can be reached'])
    await stage.addDriver('virtlxcd-sock')
    await waitFor('its readiness', async () => (await health(port, '/readyz')).status === 200)
  })
})
