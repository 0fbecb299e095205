import { once } from 'node:events'
import { chmod, link, rm, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { decodeOpen, decodeText, encodeText } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { listenAs, USER } from '../support/as-user.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { errorPayload, internalErrorPayload, systemErrorPayload } from '../support/error-payload.js'
import { FakeDriver } from '../support/fake-driver.js'
import { hex } from '../support/hex.js'
import { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const invalidArgument = (detail: string): Buffer =>
  errorPayload({
    code: 8,
    domain: 13,
    message: `invalid argument: ${detail}`,
    str1: 'invalid argument: %1$s',
    str2: detail
  })

const LONG = 'a'.repeat(200)

/** What a client that opens `name` makes of it: the name at the daemon, and the URI that the client is told. */
async function opened(
  stage: Stage,
  driver: FakeDriver,
  name: string | undefined,
  flags = 0,
  where?: string
): Promise<{ upstream: string | undefined; flags: number; uri: string }> {
  const client = await stage.connect(where)
  const reply = await client.open(name, flags)
  expect(reply.status, `opening ${String(name)}`).to.equal(STATUS.ok)
  const open = (await driver.connectionOf(client)).calls.find(call => call.proc === REMOTE.connectOpen)!
  const uri = decodeText((await client.call(REMOTE.connectGetUri)).payload)
  client.destroy()
  return { upstream: decodeOpen(open.payload).name, flags: decodeOpen(open.payload).flags, uri }
}

describe('the name in CONNECT_OPEN', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let network: FakeDriver
  before(async () => {
    stage = await Stage.start(cleanup)
    network = await stage.addDriver('virtnetworkd-sock')
  })
  after(() => cleanup.run())

  const names: [name: string, upstream: string, uri?: string][] = [
    ['qemu:///system', 'qemu:///system'],
    ['qemu:///session', 'qemu:///session'],
    ['qemu+unix:///system', 'qemu:///system', 'qemu+unix:///system'],
    ['qemu:///system?mode=direct', 'qemu:///system', 'qemu:///system?mode=direct'],
    ['qemu+unix:///system?name=qemu:///session', 'qemu:///session', 'qemu+unix:///system?name=qemu:///session'],
    ['qemu:///system?foo=bar', 'qemu:///system?foo=bar'],
    ['qemu:///system?foo', 'qemu:///system?foo=', 'qemu:///system?foo'],
    // An empty part is none.
    ['qemu:///system?', 'qemu:///system'],
    ['qemu:///system#', 'qemu:///system'],
    ['qemu+unix:///system?#', 'qemu:///system', 'qemu+unix:///system'],
    // The daemon has an answer for it.
    ['qemu:///embed?root=nowhere', 'qemu:///embed?root=nowhere']
  ]
  for (const [name, upstream, uri = upstream] of names) {
    it(`${name} is ${upstream} at the daemon, and ${uri} to the client`, async () => {
      expect(await opened(stage, stage.driver, name)).to.deep.equal({ upstream, uri, flags: 0 })
    })
  }

  it('chooses the daemon by its scheme', async () => {
    expect((await opened(stage, network, 'network:///system')).upstream).to.equal('network:///system')
  })

  it('may be the path of a socket in the directory of the driver daemons', async () => {
    const uri = `qemu:///system?socket=${network.path}`
    expect(await opened(stage, network, uri)).to.deep.equal({ upstream: 'qemu:///system', uri, flags: 0 })
  })

  const notThere = (path: string): Buffer => {
    const rest = `; '${join(dirname(path), 'libvirt-sock')}': No such file or directory (is libvirtd.socket started?)`
    return systemErrorPayload(2, `Failed to connect socket to '${path}': No such file or directory${rest}`)
  }
  const notDriver = (path: string): Buffer => invalidArgument(`socket '${path}' is not the socket of a driver daemon`)
  const onlyDefault = (name: string): Buffer => {
    const detail = `${name} (of the test driver only test:///default can be opened here)`
    const message = `no connection driver available for ${detail}`
    return errorPayload({ code: 5, domain: 0, message, str1: 'no connection driver available for %1$s', str2: detail })
  }
  const refusals: [name: string, payload: (stage: Stage) => Buffer][] = [
    ['bogus:///system', ({ driverDir }) => notThere(join(driverDir, 'virtbogusd-sock'))],
    ['QEMU:///system', ({ driverDir }) => notThere(join(driverDir, 'virtQEMUd-sock'))],
    ['test:///default', ({ driverDir }) => notThere(join(driverDir, 'virttestd-sock'))],
    ['test:///', ({ driverDir }) => notThere(join(driverDir, 'virttestd-sock'))],
    ['test:///nosuch.xml', () => onlyDefault('test:///nosuch.xml')],
    ['test+unix:///default', ({ driverDir }) => notThere(join(driverDir, 'virttestd-sock'))],
    [`${LONG}:///system`, ({ driverDir }) => notThere(join(driverDir, `virt${LONG}d-sock`))],
    ['qemu+unix://host/system', () => invalidArgument("using unix socket and remote server 'host' is not supported.")],
    ['qemu:///system?mode=legacy', () => invalidArgument('Connections from inside daemon must be direct')],
    ['qemu:///system?socket=/etc/passwd', () => notDriver('/etc/passwd')],
    ['qemu:///system?socket=relative', () => notDriver('relative')],
    ['qemu:///system?socket=', () => notDriver('')]
  ]
  for (const [name, payload] of refusals) {
    it(`${name.replace(LONG, 'a scheme of 200 characters')} is refused`, async () => {
      const client = await stage.connect()
      const reply = await client.open(name)
      expect(reply.status).to.equal(STATUS.error)
      expect(reply.payload).to.deep.equal(payload(stage))
    })
  }

  for (const name of ['qemu+tcp://127.0.0.1/system', 'qemu://localhost/system', 'qemu+ssh:///system', 'qemu+ext:///system']) {
    it(`${name} is refused: nothing is opened that is not on this host`, async () => {
      const client = await stage.connect()
      const reply = await client.open(name)
      expect(reply.payload.readInt32BE(0)).to.equal(5)
    })
  }

  it('is refused with an error of bounded length, however long it is and whatever it is of', async () => {
    const client = await stage.connect()
    for (const byte of [0xff, 0x41, 0xc3]) {
      const bytes = Buffer.alloc(512 * 1024 - 256, byte)
      const open = Buffer.concat([hex('00000001 0007ff00'), bytes, Buffer.alloc(4)])
      const reply = await client.call(REMOTE.connectOpen, open)
      expect(reply.status).to.equal(STATUS.error)
      expect(decodeError(reply.payload).message).to.match(/^internal error: Unable to parse URI /)
      expect(reply.payload.length).to.be.below(2200)
    }
    const long = `qemu:///system?socket=/${'x'.repeat(60_000)}`
    expect((await client.open(long)).payload.length).to.be.below(2200)
  })

  for (const scheme of ['log', 'lock']) {
    it(`cannot lead to virt${scheme}d, which drives nothing`, async () => {
      const other = await stage.addDriver(`virt${scheme}d-sock`)
      const client = await stage.connect()
      expect((await client.open(`${scheme}:///system`)).payload).to.deep.equal(notThere(other.path))
      expect((await client.open(`qemu:///system?socket=${other.path}`)).payload).to.deep.equal(notDriver(other.path))
      expect(other.connections).to.be.empty
    })
  }

  it('cannot make a daemon read a file', async () => {
    const client = await stage.connect()
    const before = stage.driver.connections.length
    for (const name of ['test:///etc/passwd', 'qemu:///system?name=test:///etc/passwd']) {
      const { payload } = await client.open(name)
      expect(decodeError(payload).message).to.equal('no connection driver available for test:///etc/passwd ' +
        '(of the test driver only test:///default can be opened here)')
    }
    for (const name of ['qemu:///system?name=remote:///system', 'qemu:///system?name=REMOTE:///']) {
      expect(decodeError((await client.open(name)).payload).message).to.contain('only local drivers can be opened here')
    }
    expect(stage.driver.connections.length).to.equal(before)
  })

  it('cannot be a path that climbs out of the directory', async () => {
    const client = await stage.connect()
    const path = `${stage.driverDir}/../${stage.driverDir.split('/').at(-1)}x/virtqemud-sock`
    expect((await client.open(`qemu:///system?socket=${path}`)).payload).to.deep.equal(notDriver(path))
  })
})

describe('no name in CONNECT_OPEN', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => (stage = await Stage.start(cleanup)))
  after(() => cleanup.run())

  const place = process.geteuid?.() === 0 ? 'system' : 'session'

  for (const name of [undefined, '']) {
    it(`(${name === undefined ? 'absent' : 'empty'}) finds the hypervisor whose daemon is there`, async () => {
      const uri = `qemu:///${place}`
      expect(await opened(stage, stage.driver, name)).to.deep.equal({ upstream: uri, uri, flags: 0 })
    })
  }

  it('finds Xen before QEMU, but no secondary driver', async () => {
    const network = await stage.addDriver('virtnetworkd-sock')
    expect((await opened(stage, stage.driver, '')).uri).to.equal(`qemu:///${place}`)
    await network.stop()
    if (place === 'session') return
    const xen = await stage.addDriver('virtxend-sock')
    expect((await opened(stage, xen, '')).uri).to.equal('xen:///system')
    await xen.stop()
  })

  it('finds nothing when there is nothing', async () => {
    await stage.driver.stop()
    const client = await stage.connect()
    expect((await client.open('')).payload).to.deep.equal(internalErrorPayload('connection not open'))
  })

  it('is left to a monolithic daemon when there is only that', async () => {
    const libvirtd = await stage.addDriver('libvirt-sock')
    libvirtd.on(REMOTE.connectGetUri, () => encodeText('lxc:///system'))
    expect(await opened(stage, libvirtd, '')).to.deep.equal({ upstream: '', uri: 'lxc:///system', flags: 0 })
    await libvirtd.stop()
  })
})

describe('read-only clients', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let readOnly: FakeDriver
  before(async () => {
    stage = await Stage.start(cleanup)
    readOnly = await stage.addDriver('virtqemud-sock-ro')
  })
  after(() => cleanup.run())

  it('are those of the read-only socket: they get the daemon\'s read-only socket, and flag 1', async () => {
    const { flags } = await opened(stage, readOnly, 'qemu:///system', 0, stage.broker.roSocket)
    expect(flags).to.equal(1)
  })

  it('are those that ask for it, on any socket', async () => {
    expect((await opened(stage, readOnly, 'qemu:///system', 1)).flags).to.equal(1)
    expect((await opened(stage, readOnly, 'qemu:///system', 0xff, stage.broker.socket)).flags).to.equal(1)
  })

  it('are not those that set other flags: these are dropped', async () => {
    expect((await opened(stage, stage.driver, 'qemu:///system', 0xfe)).flags).to.equal(0)
  })

  it('get the read-only socket, whichever they name', async () => {
    for (const path of [stage.driver.path, readOnly.path]) {
      expect((await opened(stage, readOnly, `qemu:///system?socket=${path}`, 1)).flags).to.equal(1)
      expect((await opened(stage, stage.driver, `qemu:///system?socket=${path}`)).flags).to.equal(0)
    }
  })

  it('are probed for on read-only sockets', async () => {
    expect((await opened(stage, readOnly, '', 1)).flags).to.equal(1)
  })
})

describe('a driver daemon that cannot be reached', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => (stage = await Stage.start(cleanup)))
  after(() => cleanup.run())

  it('because its socket is another user\'s is not told anything', async () => {
    await chmod(stage.driverDir, 0o777)
    const path = join(stage.driverDir, 'virtxend-sock')
    const impostor = await listenAs(cleanup, USER.nobody, path)
    const client = await stage.connect()
    const denied = systemErrorPayload(1, `Failed to connect socket to '${path}': Operation not permitted`)
    for (const name of ['xen:///system', `qemu:///system?socket=${path}`, undefined]) {
      expect((await client.open(name)).payload, name).to.deep.equal(denied)
    }
    const line = new RegExp(`socket ${path} is neither root's nor our own user's`)
    await waitFor('the line in the log', () => line.test(stage.broker.program.stderr))
    expect(impostor.connections.every(({ calls }) => calls.length === 0)).to.equal(true)
    const trusting = await Stage.start(cleanup, { driver_sockets: [`xen=${path}`] })
    const other = await trusting.connect()
    expect((await other.open('xen:///system')).status, 'named by the configuration').to.equal(STATUS.ok)
  })

  it('because its socket is stale is named with the reason', async () => {
    const path = join(stage.driverDir, 'virtlxcd-sock')
    const server = createServer().listen(`${path}.first`)
    await once(server, 'listening')
    // The server removes the file that it knows of, and this one stays.
    await link(`${path}.first`, path)
    server.close()
    await once(server, 'close')
    const client = await stage.connect()
    expect((await client.open('lxc:///system')).payload).to.deep.equal(
      systemErrorPayload(111, `Failed to connect socket to '${path}': Connection refused; ` +
        `'${stage.driverDir}/libvirt-sock': No such file or directory (is virtlxcd.socket or libvirtd.socket started?)`)
    )
    await waitFor('the log', () => stage.broker.program.stderr.includes(`no driver daemon: Failed to connect socket to '${path}'`))
  })

  it('because its socket is stale does not keep a client that names nothing from another', async () => {
    const own = await Stage.start(cleanup)
    const path = join(own.driverDir, 'virtxend-sock')
    const server = createServer().listen(`${path}.first`)
    await once(server, 'listening')
    await link(`${path}.first`, path)
    server.close()
    await once(server, 'close')
    expect((await opened(own, own.driver, '')).upstream).to.equal('qemu:///system')
  })

  it('is told with every socket that was tried, the one of the configuration first, and with what to start', async () => {
    const dir = await tempDir(cleanup)
    const own = await Stage.start(cleanup, { driver_sockets: [`*=${dir}/my-libvirtd/libvirt-sock`] })
    const client = await own.connect()
    const { payload } = await client.open('ch:///system')
    const text = `Failed to connect socket to '${dir}/my-libvirtd/libvirt-sock': No such file or directory; ` +
      `'${own.driverDir}/virtchd-sock': No such file or directory (is libvirtd.socket or virtchd.socket started?)`
    expect(payload).to.deep.equal(systemErrorPayload(2, text))
  })
})

describe('driver sockets of the configuration', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let explicit: FakeDriver
  let monolithic: FakeDriver
  before(async () => {
    const dir = await tempDir(cleanup)
    explicit = await FakeDriver.listen(cleanup, join(dir, 'ch'))
    monolithic = await FakeDriver.listen(cleanup, join(dir, 'all'))
    stage = await Stage.start(cleanup, { driver_sockets: [`ch=${explicit.path}`, `*=${monolithic.path}`] })
  })
  after(() => cleanup.run())

  it('come before the directory', async () => {
    expect((await opened(stage, explicit, 'ch:///system')).upstream).to.equal('ch:///system')
  })

  it('may name one daemon for all schemes that have no socket of their own', async () => {
    expect((await opened(stage, monolithic, 'lxc:///system')).upstream).to.equal('lxc:///system')
    expect((await opened(stage, stage.driver, 'qemu:///system')).upstream).to.equal('qemu:///system')
  })

  it('may be named by clients', async () => {
    const name = `qemu:///system?socket=${explicit.path}`
    expect((await opened(stage, explicit, name)).upstream).to.equal('qemu:///system')
  })
})

describe("the broker's own sockets", () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  const refused = async (broker: Broker, name: string): Promise<Buffer> => {
    const client = await RawClient.connect(cleanup, broker.tcpPort)
    const reply = await client.open(name)
    expect(reply.status).to.equal(STATUS.error)
    return reply.payload
  }

  it('are never opened as a daemon, even if they are where the daemons are', async () => {
    const dir = await tempDir(cleanup)
    const broker = await Broker.start(cleanup, { unix_sock_dir: dir, driver_socket_dir: dir })
    expect(await refused(broker, 'qemu:///system')).to.deep.equal(
      systemErrorPayload(2, `Failed to connect socket to '${dir}/virtqemud-sock': No such file or directory (is virtqemud.socket started?)`)
    )
    expect(await refused(broker, '')).to.deep.equal(internalErrorPayload('connection not open'))
    for (const name of ['libvirt-sock', 'libvirt-sock-ro', '../' + dir.split('/').at(-1) + '/libvirt-sock']) {
      expect((await refused(broker, `qemu:///system?socket=${dir}/${name}`)).readInt32BE(0)).to.equal(8)
    }
  })

  it('are recognised through a link to their directory', async () => {
    const dir = await tempDir(cleanup)
    const other = `${dir}.l`
    await symlink(dir, other)
    cleanup.defer(() => rm(other))
    const broker = await Broker.start(cleanup, { unix_sock_dir: dir, driver_socket_dir: other })
    const why = 'No such file or directory (is virtqemud.socket started?)'
    expect(await refused(broker, 'qemu:///system')).to.deep.equal(
      systemErrorPayload(2, `Failed to connect socket to '${other}/virtqemud-sock': ${why}`)
    )
    expect((await refused(broker, `qemu:///system?socket=${other}/libvirt-sock`)).readInt32BE(0)).to.equal(8)
  })

  it('are refused in driver_sockets', async () => {
    const dir = await tempDir(cleanup)
    const driver_sockets = [`*=${dir}/libvirt-sock`]
    const failure = await Broker.start(cleanup, { unix_sock_dir: dir, driver_sockets }).catch(String)
    expect(failure).to.contain(`driver_sockets: '${dir}/libvirt-sock' is a socket of this broker`)
  })
})
