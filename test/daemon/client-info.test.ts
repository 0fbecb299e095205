import { join } from 'node:path'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { AdminConnection } from '../support/admin-connection.js'
import { Cleanup } from '../support/cleanup.js'
import { freePort } from '../support/free-port.js'
import { pattern } from '../support/pattern.js'
import { Pki } from '../support/pki.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { rawTlsClient } from '../support/tls-client.js'
import { waitFor } from '../support/waiting.js'

const killer = new URL('../support/thread-killer.js', import.meta.url).href
const CALLS = 50

/** What an administrator is told of a client beside what libvirt tells. */
describe('an administrator is told of a client', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('what it is doing', async () => {
    const stage = await Stage.start(cleanup, { driver_max_requests: 1 })
    const admin = await AdminConnection.to(cleanup, stage.broker)
    await admin.untilNobody()
    const { client, daemon } = await stage.open()
    stage.driver.on(REMOTE.domainSave, () => undefined)
    const called = performance.now()
    for (let i = 0; i < 3; i++) client.post(REMOTE.domainSave)
    await daemon.next({ proc: REMOTE.domainSave })
    const { id } = (await admin.clients())[0]!
    await waitFor('all of them', async () => (await admin.info(id)).calls_waiting === 2)
    const info = await admin.info(id)
    expect(info).to.deep.include({
      driver: join(stage.driverDir, 'virtqemud-sock'), uri: 'qemu:///system', calls_in_flight: 1, calls_waiting: 2, streams: 0
    })
    expect(info.idle_seconds).to.be.within(0, Math.ceil((performance.now() - called) / 1000))
  })

  it('how many bytes have come from it, and were sent to it', async () => {
    const pki = await Pki.make(cleanup)
    const server = await pki.server()
    const port = await freePort()
    const stage = await Stage.start(cleanup, {
      listen_tls: 1, tls_port: String(port), auth_tls: 'none',
      ca_file: pki.ca.certificate, cert_file: server.certificate, key_file: server.key
    })
    const admin = await AdminConnection.to(cleanup, stage.broker)
    await admin.untilNobody()
    const places: (() => Promise<RawClient>)[] = [
      () => stage.connect(stage.broker.socket),
      () => stage.connect(),
      async () => rawTlsClient(cleanup, port, await pki.client())
    ]
    for (const connect of places) {
      const client = await connect()
      let sent = 0
      client.onSent = bytes => (sent += bytes.length)
      expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
      for (let i = 0; i < CALLS; i++) await client.call(REMOTE.domainGetXmlDesc, pattern(1000 * i))
      const { id } = (await admin.clients())[0]!
      expect(await admin.info(id)).to.deep.include({ bytes_in: BigInt(sent), bytes_out: BigInt(client.received) })
      expect(sent).to.be.greaterThan(CALLS * CALLS * 400)
      await admin.disconnect(id)
      await admin.untilNobody()
    }
  })

  it('what is known without its thread, if that hangs', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 1 }, { nodeOptions: ['--import', killer] })
    const { program } = stage.broker
    const admin = await AdminConnection.to(cleanup, stage.broker)
    await admin.untilNobody()
    await stage.open()
    const { id } = (await admin.clients())[0]!
    await waitFor('its session', async () => 'uri' in await admin.info(id))
    process.kill(program.pid, 'SIGURG')
    await waitFor('the thread to hang', () => program.stderr.includes('a thread hangs'))
    expect(await admin.info(id)).to.include({ state: 'serving' }).and.not.to.have.property('uri')
    await program.hasSaid(`has not told of client ${id} in time`)
    process.kill(program.pid, 'SIGURG')
  })
})
