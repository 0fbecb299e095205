import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { AdminConnection } from '../support/admin-connection.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv, virshOk } from '../support/clients.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { mustRun, Program } from '../support/processes.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'
import { Watcher } from '../support/watcher.js'

const MEBIBYTE = 1024 * 1024
/** Longer than any test. */
const NEVER = 1000

describe('libvirt\'s own programs when the broker stops', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let host: PrivateHost
  let daemon: Libvirtd
  before(async () => {
    host = await PrivateHost.start(cleanup)
    daemon = await Libvirtd.start(host, cleanup, { drivers: ['storage'] })
  })
  after(() => cleanup.run())

  const start = (shutdownTimeout: number): Promise<Broker> =>
    Broker.start(cleanup, {
      driver_sockets: [`*=${daemon.socket}`], shutdown_timeout: shutdownTimeout, log_level: 2, log_outputs: '2:stderr'
    })

  async function ends({ program }: Broker): Promise<void> {
    expect(await program.exited).to.deep.equal({ status: 0, signal: null })
  }

  /** Resolves when a call of its client has come. */
  async function hasCalled(broker: Broker): Promise<void> {
    const admin = await AdminConnection.to(cleanup, broker)
    await admin.untilCalled(1)
    admin.client.destroy()
  }

  for (const route of ['TCP', 'UNIX'] as const) {
    const uri = (broker: Broker, driver: string, path: string): string =>
      route === 'TCP' ? broker.tcpUri(driver, path) : broker.unixUri(driver, path)

    it(`have their close callback called once, and libvirtd has nothing to complain of, over ${route}`, async () => {
      const broker = await start(NEVER)
      const watched = uri(broker, 'test', '/default')
      const watchers = [await Watcher.start(cleanup, watched), await Watcher.start(cleanup, watched, [5, 5])]
      const before = daemon.log.length
      broker.program.child.kill('SIGTERM')
      await ends(broker)
      for (const watcher of watchers) {
        await watcher.waitFor(({ closed }) => closed !== undefined)
        expect((await watcher.call('isAlive')).result).to.equal(0)
        expect(watcher.notices.flatMap(({ closed }) => closed ?? [])).to.deep.equal([1])
      }
      expect(daemon.log.slice(before)).not.to.match(/End of file/)
    })

    it(`have a call answered that is under way, over ${route}`, async () => {
      const broker = await start(NEVER)
      const watcher = await Watcher.start(cleanup, uri(broker, 'test', '/default'), [5, 5])
      await daemon.signal('SIGSTOP')
      const call = watcher.call('numOfDomains')
      await hasCalled(broker)
      broker.program.child.kill('SIGTERM')
      await broker.program.hasSaid('no more clients are taken')
      await daemon.signal('SIGCONT')
      expect((await call).result).to.equal(1)
      await ends(broker)
    })

    it(`are told that a call was cut off where libvirtd hangs, over ${route}`, async () => {
      const broker = await start(1)
      const watcher = await Watcher.start(cleanup, uri(broker, 'test', '/default'), [5, 5])
      await daemon.signal('SIGSTOP')
      try {
        const call = watcher.call('numOfDomains')
        await hasCalled(broker)
        broker.program.child.kill('SIGTERM')
        await ends(broker)
        expect((await call).message).to.equal('the broker was stopped while this was in progress')
        expect((await watcher.waitFor(({ closed }) => closed !== undefined)).closed).to.equal(1)
      } finally {
        await daemon.signal('SIGCONT')
      }
    })

    it(`upload a volume to its end, over ${route}`, async () => {
      const broker = await start(NEVER)
      const dir = await tempDir(cleanup)
      const pool = join(host.dir, `pool-${route}`)
      await mkdir(pool)
      const storage = uri(broker, 'storage', '/system')
      await virshOk(storage, `pool-create-as drained-${route} dir --target ${pool}`)
      await virshOk(storage, `vol-create-as drained-${route} volume.img ${32 * MEBIBYTE}B --format raw --allocation 0`)
      const pipe = join(dir, 'pipe')
      await mustRun(['mkfifo', pipe])
      const virsh = new Program(['virsh', '-c', storage, `vol-upload volume.img ${pipe} --pool drained-${route}`], { env: clientEnv })
      cleanup.defer(() => virsh.stop())
      const data = randomBytes(32 * MEBIBYTE)
      const source = await open(pipe, 'w')
      await source.write(data, 0, data.length / 2)
      const volume = join(pool, 'volume.img')
      await waitFor('some of it to be there', async () => 512 * (await stat(volume)).blocks >= data.length / 4)
      broker.program.child.kill('SIGTERM')
      await broker.program.hasSaid('no more clients are taken')
      await source.write(data, data.length / 2)
      await source.close()
      // Its goodbye may find the connection closed, which ends a program that writes to a UNIX socket.
      const { status, signal } = await virsh.exited
      expect(signal === 'SIGPIPE' ? 0 : status, virsh.describe()).to.equal(0)
      await ends(broker)
      expect((await readFile(volume)).equals(data)).to.equal(true)
    })
  }
})
