import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect } from 'chai'
import { REMOTE } from '#protocol/procedures.js'
import { Memory, AF_UNIX, bind, close, SOCK_NONBLOCK, SOCK_STREAM, connect, socket } from '#workers/os/libc.js'
import { ADDRESS_BYTES, writeUnixAddress } from '#workers/os/address.js'
import { listenUnix } from '#workers/os/listening-sockets.js'
import { Broker } from '../support/broker.js'
import { brokerCommand, brokerFiles, type BrokerFiles } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { type Outcome, Program, run } from '../support/processes.js'
import { RawClient } from '../support/raw-client.js'
import { canConnect } from '../support/sockets.js'
import { waitFor } from '../support/waiting.js'

const SOCK_DGRAM = 2
const names = ['libvirt-sock', 'libvirt-sock-ro'] as const

/** What stands at a path, so that another file of the same name is not taken for it. */
const identity = (path: string): string => {
  const { dev, ino, mode, mtimeMs } = lstatSync(path)
  return [dev, ino, mode, mtimeMs].join(' ')
}

describe('a broker that is started where somebody else is', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  const start = (files: BrokerFiles, ...args: string[]): Promise<Outcome> =>
    run(brokerCommand('-f', files.file, '-p', files.pidFile, ...args))

  /** Starts one that must fail, must leave the directory as it is, and must say so. */
  async function refused(files: BrokerFiles, why: RegExp): Promise<void> {
    const before = readdirSync(files.dir)
    const places = before.map(name => identity(join(files.dir, name)))
    const { status, stderr } = await start(files)
    expect(stderr).to.match(why)
    expect(status).to.equal(6)
    expect(readdirSync(files.dir)).to.deep.equal(before)
    expect(before.map(name => identity(join(files.dir, name)))).to.deep.equal(places)
  }

  async function listening(path: string): Promise<Server> {
    const server = createServer(client => client.destroy()).listen(path)
    await once(server, 'listening')
    cleanup.defer(() => new Promise(resolve => server.close(resolve)))
    return server
  }

  /** A socket whose listener has died. */
  function dead(path: string): void {
    const { fd } = listenUnix(path, 0o700, undefined, 1)
    close(fd)
    expect(lstatSync(path).isSocket()).to.equal(true)
  }

  const serves = async (where: string | number): Promise<void> => {
    const client = await RawClient.connect(cleanup, where)
    await client.call(REMOTE.authList)
    client.destroy()
  }

  it('does not take the sockets of another broker, and says whose they are', async () => {
    const first = await Broker.start(cleanup, {})
    const second = { dir: first.dir, file: join(first.dir, 'broker.conf'), pidFile: join(first.dir, 'second.pid') }
    await refused(second, new RegExp(
      `'${first.socket}' is in use by process ${first.program.pid} \\(virtbrokerd\\): stop that first ` +
      `\\(kill ${first.program.pid}, or systemctl stop virtbrokerd.service .*\\), or set unix_sock_dir`
    ))
    for (const where of [first.socket, first.roSocket, first.tcpPort]) await serves(where)
  })

  it('does not replace dead sockets when a port is taken, and says by whom', async () => {
    const first = await Broker.start(cleanup, {})
    const files = await brokerFiles(cleanup, {
      listen_tcp: 1, auth_tcp: 'none', listen_addr: '127.0.0.1', tcp_port: String(first.tcpPort)
    })
    for (const name of names) dead(join(files.dir, name))
    await refused(files, new RegExp(
      `Unable to bind to port ${first.tcpPort} of 127.0.0.1: Address already in use; ` +
      `'127.0.0.1:${first.tcpPort}' is in use by process ${first.program.pid} \\(virtbrokerd\\).*tcp_port or listen_addr`
    ))
    await serves(first.tcpPort)
  })

  for (const [address, other] of [['127.0.0.1', 'both families'], ['::1', 'both families']] as const) {
    it(`does not listen on ${other} without ${address} when that is taken`, async () => {
      const port = await freePort()
      const server = createServer().listen(port, address)
      await once(server, 'listening')
      const files = await brokerFiles(cleanup, { listen_tcp: 1, auth_tcp: 'none', tcp_port: String(port) })
      await refused(files, new RegExp(`is in use by process ${process.pid} `))
      server.close()
    })
  }

  it('listens once on an address that a name has twice, and names itself where two keys have one port', async () => {
    const port = String(await freePort())
    const files = await brokerFiles(cleanup, {
      listen_tcp: 1, auth_tcp: 'none', listen_tls: 1, tcp_port: port, tls_port: port, listen_addr: 'localhost'
    })
    await refused(files, /is in use by this broker itself.*or set tls_port/)
  })

  for (const taken of names) {
    it(`does not take ${taken} from another program, nor make the other socket`, async () => {
      const files = await brokerFiles(cleanup, {})
      const server = await listening(join(files.dir, taken))
      await refused(files, new RegExp(`${taken}' is in use by process ${process.pid} \\(`))
      expect(server.listening && await canConnect(join(files.dir, taken))).to.equal(true)
    })
  }

  it('does not take the sockets of the embedded test driver', async () => {
    const files = await brokerFiles(cleanup, { embedded_test_driver: 1 })
    await listening(join(files.dir, 'virttestd-sock-ro'))
    await refused(files, /virttestd-sock-ro' is in use by process/)
  })

  it('takes a full backlog for life', async () => {
    const files = await brokerFiles(cleanup, {})
    const path = join(files.dir, 'libvirt-sock')
    const { fd } = listenUnix(path, 0o700, undefined, 0)
    const address = new Memory(ADDRESS_BYTES)
    const length = writeUnixAddress(address, path)
    const clients: number[] = []
    do clients.push(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0))
    while (connect(clients.at(-1)!, address.address, length) === 0)
    await refused(files, new RegExp(`'${path}' is in use by process ${process.pid} `))
    for (const each of [fd, ...clients]) close(each)
  })

  it('takes a socket of another type for life', async () => {
    const files = await brokerFiles(cleanup, {})
    const path = join(files.dir, 'libvirt-sock')
    const fd = socket(AF_UNIX, SOCK_DGRAM, 0)
    const address = new Memory(ADDRESS_BYTES)
    expect(bind(fd, address.address, writeUnixAddress(address, path))).to.equal(0)
    await refused(files, /is in use by a process that cannot be seen/)
    close(fd)
  })

  it('does not take an abstract name', async () => {
    const name = `@vb-${process.pid}`
    const files = await brokerFiles(cleanup, { unix_sock_dir: name })
    const program = new Program(brokerCommand('-f', files.file, '-p', files.pidFile))
    cleanup.defer(() => program.stop())
    await waitFor('the abstract sockets', () => readFileSync('/proc/net/unix', 'latin1').includes(`${name}/libvirt-sock-ro`))
    const second = await start({ ...files, pidFile: `${files.pidFile}2` })
    expect(second.stderr).to.contain(`'${name}/libvirt-sock' is in use by process ${program.pid} (virtbrokerd)`)
    expect(second.status).to.equal(6)
  })

  const inTheWay: [string, (path: string, dir: string) => Promise<unknown> | void, RegExp][] = [
    ['a file', path => writeFileSync(path, 'keep'), /a file is in its place/],
    ['a directory', path => mkdir(path), /a directory is in its place/],
    ['a link that leads nowhere', path => symlinkSync(`${path}.nowhere`, path), /a symbolic link is in its place/],
    ['a FIFO', path => run(['mkfifo', path]), /a FIFO is in its place/],
    ['a link to a live socket', async (path, dir) => {
      await listening(join(dir, 'elsewhere'))
      symlinkSync(join(dir, 'elsewhere'), path)
    }, /a symbolic link is in its place/]
  ]
  for (const [what, make, why] of inTheWay) {
    it(`does not remove ${what} in the place of a socket`, async () => {
      const files = await brokerFiles(cleanup, {})
      await make(join(files.dir, 'libvirt-sock-ro'), files.dir)
      await refused(files, why)
      const checked = await start(files, '--check-config')
      expect(checked.stderr).to.match(why)
      expect(checked.status).to.equal(6)
    })
  }

  it('replaces what a dead one has left', async () => {
    const files = await brokerFiles(cleanup, {})
    for (const name of names) dead(join(files.dir, name))
    const program = new Program(brokerCommand('-f', files.file, '-p', files.pidFile))
    cleanup.defer(() => program.stop())
    for (const name of names) await waitFor(name, () => canConnect(join(files.dir, name)))
    await serves(join(files.dir, 'libvirt-sock'))
  })

  it('is the only one that stays of several that are started at once', async () => {
    const files = await brokerFiles(cleanup, {})
    for (const name of names) dead(join(files.dir, name))
    const programs = [1, 2, 3, 4].map(n => new Program(brokerCommand('-f', files.file, '-p', `${files.pidFile}${n}`)))
    for (const program of programs) cleanup.defer(() => program.stop())
    await waitFor('the end of all but one', () => programs.filter(({ ended }) => ended).length >= 3)
    const [survivor] = programs.filter(({ ended }) => !ended)
    await waitFor('the sockets', () => canConnect(join(files.dir, 'libvirt-sock-ro')))
    for (const name of names) await serves(join(files.dir, name))
    for (const program of programs) if (program !== survivor) expect((await program.exited).status).to.equal(6)
    await survivor!.stop()
    expect(readdirSync(files.dir)).to.deep.equal(['broker.conf'])
  })

  it('asks nobody in --check-config', async () => {
    const files = await brokerFiles(cleanup, {})
    let asked = 0
    for (const name of names) (await listening(join(files.dir, name))).on('connection', () => asked++)
    const { status, stdout } = await start(files, '--check-config')
    expect(status).to.equal(0)
    expect(stdout).to.match(/what only a start can tell:\n +whether another process has the sockets\n/)
    // Its connections would have come before ours.
    for (const name of names) await canConnect(join(files.dir, name))
    await waitFor('ours', () => asked >= names.length)
    expect(asked).to.equal(names.length)
    expect((await start(files)).status).to.equal(6)
    await waitFor('the question', () => asked > names.length)
  })

  it('tells whoever started it in the background', async () => {
    const files = await brokerFiles(cleanup, {})
    await listening(join(files.dir, 'libvirt-sock'))
    const { status, stderr } = await start(files, '-d')
    expect(status).to.equal(1)
    expect(stderr).to.match(/libvirt-sock' is in use by process \d+ /)
    expect(stderr).to.contain('virtbrokerd: error: Unable to initialize network sockets.')
  })
})

describe('a broker that ends', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  /** Ends a broker after `meanwhile`, and says what is left in its directory. */
  async function leaves(conf: Conf, meanwhile: (broker: Broker) => unknown): Promise<string[]> {
    const broker = await Broker.start(cleanup, { log_level: 2, log_outputs: '2:stderr', ...conf })
    // Its sockets are there before.
    await broker.program.hasSaid('ready, with')
    await meanwhile(broker)
    await broker.program.stop()
    expect(broker.program.stderr).not.to.match(/^ +at /m)
    expect(await broker.program.exited).to.deep.equal({ status: 0, signal: null })
    return existsSync(broker.dir) ? readdirSync(broker.dir).filter(name => name !== 'broker.conf') : []
  }

  const pidFile = (broker: Broker): string => join(broker.dir, 'broker.pid')

  it('with 0 though its pid file is gone', async () => {
    expect(await leaves({}, broker => rmSync(pidFile(broker)))).to.deep.equal([])
  })

  it('with 0 though one of its sockets is gone, or the whole directory', async () => {
    for (const name of names) expect(await leaves({}, broker => rmSync(join(broker.dir, name)))).to.deep.equal([])
    expect(await leaves({ embedded_test_driver: 1 }, ({ dir }) => rmSync(dir, { recursive: true }))).to.deep.equal([])
  })

  it('with 0 though what it made cannot be removed, and removes the rest', async () => {
    const inItsWay = ({ program }: Broker): string => `libvirt-sock.${program.pid}`
    let kept: string[] = []
    const left = await leaves({}, async broker => {
      // The name that the socket would be given first.
      await mkdir(join(broker.dir, inItsWay(broker), 'full'), { recursive: true })
      kept = ['libvirt-sock', inItsWay(broker)]
    })
    expect(left).to.deep.equal(kept)
  })

  for (const name of [...names, 'broker.pid']) {
    it(`without removing what is by now in the place of ${name}`, async () => {
      const left = await leaves({}, ({ dir }) => {
        rmSync(join(dir, name))
        writeFileSync(join(dir, name), 'of somebody else')
      })
      expect(left).to.deep.equal([name])
    })
  }

  it('without removing the socket of a daemon that has taken its place', async () => {
    const server = createServer()
    let path = ''
    const left = await leaves({}, async broker => {
      path = broker.socket
      rmSync(path)
      server.listen(path)
      await once(server, 'listening')
    })
    expect(left).to.deep.equal(['libvirt-sock'])
    expect(await canConnect(path)).to.equal(true)
    server.close()
  })

  it('without removing the pid file of another', async () => {
    const left = await leaves({}, async broker => {
      rmSync(pidFile(broker))
      const second = await brokerFiles(cleanup, {})
      const program = new Program(brokerCommand('-f', second.file, '-p', pidFile(broker)))
      cleanup.defer(() => program.stop())
      await waitFor('the second broker', () => canConnect(join(second.dir, 'libvirt-sock-ro')))
      expect(readFileSync(pidFile(broker), 'latin1')).to.equal(String(program.pid))
    })
    expect(left).to.deep.equal(['broker.pid'])
  })
})
