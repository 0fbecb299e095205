import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { once } from 'node:events'
import { chmod } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Broker } from '../support/broker.js'
import { brokerCommand as command, brokerFiles, type BrokerFiles } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { PassedSockets } from '../support/passed-sockets.js'
import { openDescriptors, threadCount } from '../support/process-state.js'
import { type Outcome, Program, run } from '../support/processes.js'
import { RawClient } from '../support/raw-client.js'
import { canConnect } from '../support/sockets.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

describe('virtbrokerd', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  const prepared = (conf: Conf): Promise<BrokerFiles> => brokerFiles(cleanup, conf)

  /** Runs a broker that is expected to end by itself. */
  async function outcome(conf: Conf, ...args: string[]): Promise<Outcome> {
    const { file, pidFile } = await prepared(conf)
    return run(command('-f', file, '-p', pidFile, ...args))
  }

  const connect = (broker: Broker): Promise<RawClient> => RawClient.connect(cleanup, broker.socket)

  describe('ends at once', () => {
    it('with 0 after --help and --version', async () => {
      const help = await run(command('--help'))
      expect({ status: help.status, stdout: help.stdout }).to.deep.equal({ status: 0, stdout: '' })
      expect(help.stderr).to.contain('--config')
      const version = await run(command('-V'))
      expect(version.status).to.equal(0)
      expect(version.stdout).to.match(/^virtbrokerd \(virtbroker\) \d+\.\d+\.\d+\n$/)
    })

    it('with 1 for options and arguments that it does not know', async () => {
      expect((await run(command('--listen'))).status).to.equal(1)
      const stray = await run(command('stray'))
      expect(stray.status).to.equal(1)
      expect(stray.stderr).to.contain('unexpected, non-option, command line arguments')
    })

    it('with 1 for a file that is not there, or cannot be understood', async () => {
      expect((await run(command('-f', '/nonexistent'))).status).to.equal(1)
      const { status, stderr } = await outcome({ max_clients: 'many' })
      expect(status).to.equal(1)
      expect(stderr).to.contain("expected an unsigned integer for 'max_clients' parameter")
    })

    it('with 3 for limits that contradict each other', async () => {
      expect((await outcome({ max_clients: 3 })).status).to.equal(3)
    })

    it('with 6 for a group that does not exist', async () => {
      const { status, stderr } = await outcome({ unix_sock_group: 'no-such-group' })
      expect(status).to.equal(6)
      expect(stderr).to.contain('no-such-group')
    })

    it('with 6 for a port that is taken, and leaves no sockets and no pid file behind', async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as { port: number }
      const { dir, file, pidFile } = await prepared({
        listen_tcp: 1, auth_tcp: 'none', tcp_port: String(port), listen_addr: '127.0.0.1'
      })
      const { status, stderr } = await run(command('-f', file, '-p', pidFile))
      server.close()
      expect(status).to.equal(6)
      expect(stderr).to.contain(`Unable to bind to port ${port} of 127.0.0.1: Address already in use`)
      expect(existsSync(join(dir, 'libvirt-sock'))).to.equal(false)
      expect(existsSync(pidFile)).to.equal(false)
    })

    it('with 6 for an address that cannot be resolved', async () => {
      const conf = { listen_tcp: 1, auth_tcp: 'none', listen_addr: 'no-such-host.invalid' }
      expect((await outcome(conf)).status).to.equal(6)
    })

    it('with 0 after --check-config, having opened nothing', async () => {
      const { dir, file } = await prepared({ tls_port: '1', nonsense: 5, max_clients: 4000 })
      const { status, stdout } = await run(command('--check-config', '-f', file))
      expect(status).to.equal(0)
      expect(stdout).to.match(/max_clients = 4000/).and.match(/unknown keys:\n +nonsense/)
      expect(existsSync(join(dir, 'libvirt-sock'))).to.equal(false)
    })
  })

  it('says once, at the start, that certificates are of no use without a TLS listener', async () => {
    const broker = await Broker.start(cleanup, { ca_file: '/ca.pem', cert_file: '/cert.pem', key_file: '/key.pem', auth_tls: 'none' })
    const warning = 'listen_tls is 0, so there is no use for ca_file, cert_file, key_file, auth_tls'
    await broker.program.hasSaid(warning)
    await broker.program.stop()
    expect(broker.program.stderr.split(warning)).to.have.length(2)
  })

  describe('has a pid file', () => {
    it('with its pid and no more, gone when it has ended', async () => {
      const broker = await Broker.start(cleanup, {})
      const file = join(broker.dir, 'broker.pid')
      expect(readFileSync(file, 'latin1')).to.equal(String(broker.program.pid))
      await broker.program.stop()
      expect((await broker.program.exited).status).to.equal(0)
      expect(existsSync(file)).to.equal(false)
      expect(existsSync(broker.socket)).to.equal(false)
      expect(existsSync(broker.roSocket)).to.equal(false)
    })

    it('which one process can have at a time', async () => {
      const broker = await Broker.start(cleanup, {})
      const file = join(broker.dir, 'broker.pid')
      const second = await run(command('-f', join(broker.dir, 'broker.conf'), '-p', file))
      expect(second.status).to.equal(1)
      expect(second.stderr).to.contain(`Failed to acquire pid file '${file}': Resource temporarily unavailable`)
      await (await connect(broker)).call(REMOTE.authList)
      expect(readFileSync(file, 'latin1')).to.equal(String(broker.program.pid))
    })

    it('and sockets that may be left over from one that was killed', async () => {
      const broker = await Broker.start(cleanup, {})
      await broker.program.stop('SIGKILL')
      expect(existsSync(broker.socket)).to.equal(true)
      const next = await Broker.start(cleanup, { unix_sock_dir: broker.dir })
      await (await connect(next)).call(REMOTE.authList)
      expect(readFileSync(join(broker.dir, 'broker.pid'), 'latin1')).to.equal(String(next.program.pid))
    })

    it('unless the path is empty', async () => {
      const { dir, file } = await prepared({})
      const program = new Program(command('-f', file, '-p', ''))
      cleanup.defer(() => program.stop())
      await waitFor('the socket', () => existsSync(join(dir, 'libvirt-sock')))
      expect(existsSync(join(dir, 'broker.pid'))).to.equal(false)
    })
  })

  describe('has sockets', () => {
    it('with exactly the configured modes and group', async () => {
      const broker = await Broker.start(cleanup, {
        unix_sock_rw_perms: '0620', unix_sock_ro_perms: '0606', unix_sock_group: 'daemon'
      })
      const about = (path: string): [number, number] => [statSync(path).mode & 0o7777, statSync(path).gid]
      expect(about(broker.socket)).to.deep.equal([0o620, 1])
      expect(about(broker.roSocket)).to.deep.equal([0o606, 1])
    })

    it('on every address of both families when none is configured', async () => {
      const port = await freePort()
      const { file, pidFile } = await prepared({ listen_tcp: 1, auth_tcp: 'none', tcp_port: String(port) })
      const program = new Program(command('-f', file, '-p', pidFile))
      cleanup.defer(() => program.stop())
      await waitFor('the listener', () => canConnect(port))
      for (const host of ['127.0.0.1', '::1']) {
        const client = await RawClient.connect(cleanup, { host, port })
        await client.call(REMOTE.authList)
      }
    })

    it('only when its threads can serve who comes', async () => {
      const late = "import { isMainThread } from 'node:worker_threads'; " +
        'if (!isMainThread) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)'
      const nodeOptions = ['--import', `data:text/javascript,${encodeURIComponent(late)}`]
      const broker = await Broker.start(cleanup, { actor_threads: 2 }, { nodeOptions })
      const { pid } = broker.program
      const descriptors = openDescriptors(pid)
      const clients = [await connect(broker), await connect(broker), await connect(broker), await connect(broker)]
      for (const client of clients) await client.call(REMOTE.authList)
      expect(openDescriptors(pid), 'and no others that were opened later').to.be.at.most(descriptors + clients.length)
    })

    it('for no more clients than max_clients: others wait, and are served when there is room', async () => {
      const broker = await Broker.start(cleanup, { max_clients: 2, max_anonymous_clients: 1 })
      const first = await connect(broker)
      const second = await connect(broker)
      for (const client of [first, second]) await client.call(REMOTE.authList)
      const third = await connect(broker)
      const answer = third.call(REMOTE.authList)
      expect(await Promise.race([answer.then(() => 'served'), sleep(300, 'waiting')])).to.equal('waiting')
      await second.call(REMOTE.authList)
      first.destroy()
      await answer
    })

    it('for no more silent clients than max_anonymous_clients: others wait', async () => {
      const broker = await Broker.start(cleanup, { auth_unix_rw: 'polkit', max_anonymous_clients: 2 })
      const [silent] = await Promise.all([connect(broker), connect(broker)])
      const third = await connect(broker)
      const serial = third.post(REMOTE.authList)
      // For a second nobody is closed for it.
      await broker.program.hasSaid('2 clients that have not logged in (max_anonymous_clients): others wait')
      expect(third.inbox).to.be.empty
      // The silent one logs in, and so counts no longer.
      await silent.call(REMOTE.authList)
      await third.next({ serial })
    })
  })

  describe('ends', () => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) {
      it(`with 0 on ${signal}, and closes its clients and their connections to daemons`, async () => {
        const stage = await Stage.start(cleanup)
        const { client, daemon } = await stage.open()
        stage.driver.otherwise = () => undefined
        client.post(REMOTE.domainGetInfo)
        await daemon.next({ proc: REMOTE.domainGetInfo })
        await stage.broker.program.stop(signal)
        expect(await stage.broker.program.exited).to.deep.equal({ status: 0, signal: null })
        await client.end()
        await daemon.end()
        expect(client.inbox.map(({ proc, status }) => [proc, status])).to.deep.equal([[REMOTE.domainGetInfo, STATUS.error]])
      })
    }

    it('with 0, and leaves no files behind, when it is told to as soon as it has begun', async () => {
      const { dir, file, pidFile } = await prepared({})
      for (const early of [pidFile, join(dir, 'libvirt-sock')]) {
        const program = new Program(command('-f', file, '-p', pidFile))
        cleanup.defer(() => program.stop())
        while (!existsSync(early)) await sleep(1)
        program.child.kill('SIGTERM')
        expect(await program.exited).to.deep.equal({ status: 0, signal: null })
        expect([pidFile, join(dir, 'libvirt-sock'), join(dir, 'libvirt-sock-ro')].some(existsSync)).to.equal(false)
      }
    })

    it('with 0 when there has been no client for as long as -t says', async () => {
      // One is there before the broker is.
      const sockets = await PassedSockets.in(cleanup)
      const client = await RawClient.connect(cleanup, sockets.unix('virtbrokerd.socket'))
      const program = await sockets.start({ auth_unix_rw: 'none' }, { args: ['-t', '1'] })
      await client.next({ serial: client.post(REMOTE.authList) }, 45_000)
      await sleep(1500)
      await client.call(REMOTE.authList)
      const left = performance.now()
      client.destroy()
      expect((await program.exited).status).to.equal(0)
      expect(performance.now() - left).to.be.at.least(900)
    })

    it('with 0 while a file that it reads anew never comes', async () => {
      const { dir, file, pidFile } = await prepared({ log_level: 2, shutdown_timeout: 0 })
      const program = new Program(command('-f', file, '-p', pidFile))
      cleanup.defer(() => program.stop())
      await waitFor('the start', () => existsSync(join(dir, 'libvirt-sock')) && program.stderr.includes('ready'))
      const threads = threadCount(program.pid)
      rmSync(file)
      execFileSync('mkfifo', [file])
      program.child.kill('SIGHUP')
      await waitFor('the thread that reads it', () => threadCount(program.pid) > threads)
      program.child.kill('SIGTERM')
      expect(await program.exited).to.deep.equal({ status: 0, signal: null })
    })

    it('not on SIGHUP', async () => {
      const broker = await Broker.start(cleanup, { log_level: 2 })
      const client = await connect(broker)
      broker.program.child.kill('SIGHUP')
      await waitFor('the log', () => broker.program.stderr.includes('configuration loaded anew'))
      await client.call(REMOTE.authList)
    })
  })

  describe('in the background (-d)', () => {
    it('is ready when the command has returned', async () => {
      const { dir, file, pidFile } = await prepared({ log_outputs: `3:file:${join(await tempDir(cleanup), 'log')}` })
      const { status } = await run(command('-d', '-f', file, '-p', pidFile))
      expect(status).to.equal(0)
      const pid = Number(readFileSync(pidFile, 'latin1'))
      cleanup.defer(() => Promise.resolve(existsSync(pidFile) && process.kill(pid)))
      const client = await RawClient.connect(cleanup, join(dir, 'libvirt-sock'))
      await client.call(REMOTE.authList)
      process.kill(pid)
      await waitFor('its end', () => !existsSync(pidFile))
    })

    it('says why it could not start, and returns 1', async () => {
      const { dir, file, pidFile } = await prepared({ unix_sock_group: 'no-such-group' })
      await chmod(dir, 0o755)
      const { status, stderr } = await run(command('-d', '-f', file, '-p', pidFile))
      expect(status).to.equal(1)
      expect(stderr).to.contain('virtbrokerd: error: Unable to initialize network sockets.')
    })
  })
})
