import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { connectAs, openToAll, USER } from '../support/as-user.js'
import { Broker, type BrokerSurroundings } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { type Conf, confText } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { childrenOf, descriptorKinds, openDescriptors, rights } from '../support/process-state.js'
import { run } from '../support/processes.js'
import { closedCopy, Quickstart } from '../support/quickstart.js'
import { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'
import { settled, waitFor } from '../support/waiting.js'

const UUID = Buffer.from('6695eb01f6a4830479aa97f2502e193f', 'hex')
const executable = new URL('../../../dist/main/virtbrokerd.js', import.meta.url).pathname
const NO_RIGHTS = '0000000000000000'
const ROOT = 'Uid: 0 0 0 0'

describe('the process of the embedded test driver', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  const start = (conf: Conf = {}, under: BrokerSurroundings = {}): Promise<Broker> =>
    Broker.start(cleanup, { embedded_test_driver: 1, ...conf }, under)

  const driverOf = (pid: number): Promise<number> => waitFor('the driver', () => childrenOf(pid)[0])

  async function opened(where: string | number): Promise<RawClient> {
    const client = await RawClient.connect(cleanup, where)
    expect((await client.open('test:///default')).status).to.equal(STATUS.ok)
    return client
  }

  /** What comes of saving a guest to a file and restoring it from there: the two errors, if there are any. */
  async function saved(where: string | number, path: string): Promise<(string | undefined)[]> {
    const client = await opened(where)
    const domain = new XdrWriter().string('test').fixed(UUID).i32(1).string(path).finish()
    const replies = [await client.call(REMOTE.domainSave, domain)]
    replies.push(await client.call(REMOTE.domainRestore, new XdrWriter().string(path).finish()))
    client.destroy()
    return replies.map(({ status, payload }) => (status === STATUS.ok ? undefined : decodeError(payload).message))
  }

  async function isServed(broker: Broker): Promise<void> {
    expect(await saved(broker.socket, join(broker.testDriverFiles, 'a'))).to.deep.equal([undefined, undefined])
  }

  /** Ends the driver without its knowing, and gives the one that comes after it. */
  async function killed(broker: number, where: string | number): Promise<number> {
    const driver = await driverOf(broker)
    process.kill(driver, 'SIGKILL')
    await waitFor('the next driver', async () => {
      const client = await RawClient.connect(cleanup, where)
      await client.open('test:///default')
      // Where the name is open for others, the driver itself is first asked by a call.
      const { status } = await client.call(REMOTE.connectGetLibVersion)
      client.destroy()
      return status === STATUS.ok && !childrenOf(broker).includes(driver)
    })
    return driverOf(broker)
  }

  it('is nobody in all its threads, without any rights; the broker stays what it was', async () => {
    const broker = await start()
    const driver = await driverOf(broker.program.pid)
    const of = (pid: number): string[] => rights(pid, 'Uid', 'Gid', 'Groups', 'CapPrm', 'CapEff', 'CapInh')
    const ids = `${USER.nobody} ${USER.nobody} ${USER.nobody} ${USER.nobody}`
    expect(of(driver)).to.deep.equal([
      `Uid: ${ids}, Gid: ${ids}, Groups: ${USER.nobody}, CapPrm: ${NO_RIGHTS}, CapEff: ${NO_RIGHTS}, CapInh: ${NO_RIGHTS}`
    ])
    expect(rights(broker.program.pid, 'Uid')).to.deep.equal([ROOT])
    const { uid, mode } = statSync(broker.testDriverFiles)
    expect([uid, mode & 0o7777]).to.deep.equal([USER.nobody, 0o700])
    await isServed(broker)
    expect(statSync(join(broker.testDriverFiles, 'a')).uid).to.equal(USER.nobody)
  })

  it('can be another user, or root', async () => {
    for (const [user, uid] of [['daemon', USER.daemon], ['', 0], ['root', 0]] as const) {
      const broker = await start({ embedded_test_driver_user: user })
      expect(rights(await driverOf(broker.program.pid), 'Uid')).to.deep.equal([`Uid: ${uid} ${uid} ${uid} ${uid}`])
      await isServed(broker)
      expect(broker.program.stderr).not.to.match(/cannot run as the user/)
    }
  })

  it('is spoken to by the broker alone', async () => {
    const broker = await start()
    await openToAll(broker.dir)
    for (const socket of ['virttestd-sock', 'virttestd-sock-ro'].map(name => join(broker.dir, name))) {
      const { uid, mode } = statSync(socket)
      expect([uid, mode & 0o777]).to.deep.equal([0, 0o700])
      for (const user of [USER.nobody, USER.bin]) {
        const refused: unknown = await connectAs(cleanup, user, socket).catch((error: unknown) => error)
        expect((refused as NodeJS.ErrnoException).code).to.equal('EACCES')
      }
    }
    await (await connectAs(cleanup, USER.bin, broker.socket)).open('test:///default')
  })

  it('has none of the broker’s descriptors, not when it is started again either', async () => {
    const broker = await start({ actor_threads: 3 })
    const driver = await driverOf(broker.program.pid)
    await settled('its descriptors', () => openDescriptors(driver))
    const first = descriptorKinds(driver)
    await Promise.all(Array.from({ length: 20 }, () => opened(broker.socket)))
    const next = await killed(broker.program.pid, broker.socket)
    const second = await waitFor('clients to be gone', () => {
      const kinds = descriptorKinds(next)
      return kinds.filter(kind => kind === 'socket').length === first.filter(kind => kind === 'socket').length && kinds
    })
    expect(second).to.deep.equal(first)
  })

  it('is started again when it dies, from code that it cannot read, and finds its files', async function () {
    this.timeout(60_000)
    const port = await freePort()
    const quickstart = await Quickstart.start(cleanup, port, { clone: await closedCopy(cleanup) })
    const { pid } = quickstart.program
    const file = join(quickstart.files, 'a')
    expect(await saved(port, file)).to.deep.equal([undefined, undefined])
    for (let times = 0; times < 2; times++) {
      const driver = await killed(pid, port)
      expect(rights(driver, 'Uid')[0]).to.match(/^Uid: 65534 /)
      const client = await opened(port)
      const described = await client.call(REMOTE.domainSaveImageGetXmlDesc, new XdrWriter().string(file).u32(0).finish())
      expect(described.status).to.equal(STATUS.ok)
      client.destroy()
      expect(await saved(port, file)).to.deep.equal([undefined, undefined])
    }
    const driver = await driverOf(pid)
    // As a terminal does: both get it.
    process.kill(driver, 'SIGINT')
    await quickstart.stop()
    expect((await quickstart.program.exited).status).to.equal(0)
    expect(existsSync(quickstart.dir)).to.equal(false)
    expect(quickstart.program.stderr.match(/driver died/g)).to.have.length(2)
  })

  it('tells the log of what it dies of', async () => {
    const fault = 'process.on("SIGURG", () => { throw new Error("a mistake in the driver") })'
    const broker = await start({}, { nodeOptions: ['--import', `data:text/javascript,${encodeURIComponent(fault)}`] })
    process.kill(await driverOf(broker.program.pid), 'SIGURG')
    const lines = [
      /error : test.test_driver : Error: a mistake in the driver/,
      /error : test.test_driver : the embedded test driver died \(exit status 1\)/
    ]
    await waitFor('both lines', () => lines.every(line => line.test(broker.program.stderr)))
    await waitFor('the next driver', () => childrenOf(broker.program.pid).length === 1)
  })

  it('leaves it to the broker when to end, and ends with it', async () => {
    const broker = await start()
    const { pid } = broker.program
    const driver = await driverOf(pid)
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) process.kill(driver, signal)
    await isServed(broker)
    expect(childrenOf(pid)).to.deep.equal([driver])
    expect(broker.program.stderr).not.to.match(/Debugger|died/)
    process.kill(pid, 'SIGKILL')
    await waitFor('the driver to end', () => (
      !existsSync(`/proc/${driver}`) || /^State:\tZ/m.test(readFileSync(`/proc/${driver}/status`, 'latin1'))
    ))
  })

  it('leaves nothing behind but files', async () => {
    for (const kept of [[], ['mine.xml']]) {
      const broker = await start()
      for (const name of kept) writeFileSync(join(broker.testDriverFiles, name), '<node/>')
      const driver = await driverOf(broker.program.pid)
      await broker.program.stop()
      expect(existsSync(`/proc/${driver}`)).to.equal(false)
      expect(readdirSync(broker.dir).sort()).to.deep.equal(['broker.conf', ...(kept.length > 0 ? ['test-driver'] : [])])
      if (kept.length > 0) expect(readdirSync(broker.testDriverFiles)).to.deep.equal(kept)
    }
  })

  const without = (rights: string): string[] => ['setpriv', `--bounding-set=${rights}`, `--inh-caps=${rights}`, '--']
  const places: [string, string[]][] = [
    ['setuid is forbidden', without('-setuid')],
    ['setgid is forbidden', without('-setgid')],
    ['chown is forbidden', without('-chown')],
    ['hardly anything is allowed', without('-setuid,-setgid,-chown,-dac_override,-fowner,-kill')],
    ['root is the only user', ['unshare', '--user', '--map-root-user']]
  ]
  for (const [where, within] of places) {
    it(`stays root where ${where}, says so, and is confined`, async () => {
      const broker = await start({}, { within })
      expect(rights(await driverOf(broker.program.pid), 'Uid')).to.deep.equal([ROOT])
      const why = "cannot run as the user 'nobody' \\((E[A-Z]+\\W.*|set\\w+: Operation not permitted)\\)"
      const warning = new RegExp(`warning : test.test_driver : the embedded test driver ${why}: it runs as root, and opens no file outside`)
      await broker.program.hasSaid(warning)
      await isServed(broker)
      const outside = join(broker.dir, 'outside')
      expect((await saved(broker.socket, outside))[0]).to.match(/open failed: Permission denied$/)
      expect(existsSync(outside)).to.equal(false)
    })
  }

  it('stays root where there is no such user, with a warning, and is confined', async () => {
    const broker = await start({ embedded_test_driver_user: 'no-such-user' })
    expect(rights(await driverOf(broker.program.pid), 'Uid')).to.deep.equal([ROOT])
    await broker.program.hasSaid(/warning : daemon.virtproxyd : .*runs as root: .*"no-such-user" is no user of this host/)
    await isServed(broker)
    expect((await saved(broker.socket, join(broker.dir, 'x')))[0]).to.match(/open failed: Permission denied$/)
  })

  it('takes a directory from nobody: the start fails', async () => {
    const dir = await tempDir(cleanup)
    mkdirSync(join(dir, 'test-driver'))
    chownSync(join(dir, 'test-driver'), USER.bin, USER.bin)
    writeFileSync(join(dir, 'conf'), confText({ unix_sock_dir: dir, embedded_test_driver: 1 }))
    const { status, stderr } = await run([process.execPath, executable, '-f', join(dir, 'conf'), '-p', join(dir, 'pid')])
    expect(status).to.equal(1)
    expect(stderr).to.match(/the embedded test driver did not start: '.*test-driver' belongs to another user \(2\)/)
    expect(readdirSync(dir).sort()).to.deep.equal(['conf', 'test-driver'])
  })
})
