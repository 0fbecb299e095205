import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { interactiveVirsh, virshOk } from '../support/clients.js'
import type { Conf } from '../support/conf-file.js'
import { DriverRelay } from '../support/driver-relay.js'
import { guestXml } from '../support/guest.js'
import { writeAndRead } from '../support/history-clients.js'
import { Libvirtd, startVirtlogd } from '../support/libvirtd.js'
import { registersOf, TEST_DOMAIN } from '../support/metadata.js'
import { PrivateHost } from '../support/private-host.js'
import { printed } from '../support/processes.js'
import { Random } from '../support/random.js'
import { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const CLIENTS = 40
/** Whatever is stuck: those for ordinary calls, and the one for others. */
const MOST_CONNECTIONS = 33
const OPERATIONS = 10_000
const SEED = 24

describe('a real libvirtd behind shared connections', function () {
  this.timeout(60_000)
  let cleanup: Cleanup
  let host: PrivateHost
  beforeEach(async () => {
    cleanup = new Cleanup()
    host = await PrivateHost.start(cleanup)
  })
  afterEach(() => cleanup.run())

  const startBroker = (socket: string, more: Conf = {}): Promise<Broker> =>
    Broker.start(cleanup, {
      driver_sockets: [`*=${socket}`], driver_sharing: 'identity', driver_idle_timeout: 1, actor_threads: 1, ...more
    })

  it('that ends after two seconds without a client stays as long as one has it open that does not call', async () => {
    const dir = await tempDir(cleanup)
    const broker = await startBroker(join(dir, 'sock'))
    const daemon = await Libvirtd.start(host, cleanup, { drivers: [], args: ['--timeout', '2'] })
    // It stays until they are there, however long that takes.
    const early = await RawClient.connect(cleanup, daemon.socket)
    const relay = await DriverRelay.listen(cleanup, join(dir, 'sock'), daemon.socket)
    const uri = broker.unixUri('test', '/default')
    const clients = [await interactiveVirsh(uri), await interactiveVirsh(uri), await interactiveVirsh(uri)]
    for (const client of clients) cleanup.defer(() => client.stop())
    await waitFor('the idle connections to go, but for one', () => relay.connections.length >= 3 && relay.open === 1)
    early.destroy()
    await new Promise(resolve => setTimeout(resolve, 3000))
    expect(daemon.ended).to.equal(false)
    for (const client of clients) {
      client.child.stdin.write('domname 1\n')
      await printed(client, /^test$/m)
    }
    expect(relay.connections.length, 'as most had to connect again').to.be.greaterThan(3)
    for (const client of clients) client.child.stdin.end()
    await waitFor('the end of the daemon', () => daemon.ended)
  })

  for (const collapse of [0, 1]) {
    it(`is never read as it was before a write that had ended, with collapse_reads = ${collapse}`, async () => {
      const daemon = await Libvirtd.start(host, cleanup, { drivers: [] })
      const dir = await tempDir(cleanup)
      const relay = await DriverRelay.listen(cleanup, join(dir, 'sock'), daemon.socket)
      const broker = await startBroker(join(dir, 'sock'), { collapse_reads: collapse })
      const clients = await Promise.all(Array.from({ length: CLIENTS }, async () => {
        const client = await RawClient.connect(cleanup, broker.tcpPort)
        expect((await client.open('test:///default')).status).to.equal(STATUS.ok)
        return { client, readonly: false }
      }))
      await writeAndRead(clients, registersOf([TEST_DOMAIN]), new Random(SEED), OPERATIONS)
      expect(relay.connections.filter(({ calls }) => calls > 0).length, 'connections that they shared').to.be.within(2, MOST_CONNECTIONS)
    })
  }

  it('ends a guest that was made to die with its client when that one goes, and not when another does', async () => {
    await startVirtlogd(host, cleanup)
    const daemon = await Libvirtd.start(host, cleanup)
    const broker = await startBroker(daemon.socket)
    const uri = broker.tcpUri('qemu', '/system')
    const dir = await tempDir(cleanup)
    await writeFile(join(dir, 'tiny.xml'), guestXml('tiny', '33333333-aaaa-4aaa-8aaa-000000000077'))
    const [owner, other] = [await interactiveVirsh(uri), await interactiveVirsh(uri)]
    for (const client of [owner, other]) cleanup.defer(() => client.stop())
    owner.child.stdin.write(`create --autodestroy ${dir}/tiny.xml\necho made\n`)
    await printed(owner, /^made/m)
    await other.stop('SIGKILL')
    expect(await virshOk(uri, 'domstate tiny')).to.contain('running')
    await owner.stop('SIGKILL')
    await waitFor('the end of the guest', async () => (await virshOk(uri, 'list --all --name')).trim() === '')
  })
})
