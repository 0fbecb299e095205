import { lstatSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { brokerCommand } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import { type Conf, confText } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { mustRun, type Outcome, run } from '../support/processes.js'
import { canConnect } from '../support/sockets.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

type Daemon = 'libvirtd' | 'virtbrokerd'
const DAEMONS: readonly Daemon[] = ['libvirtd', 'virtbrokerd']

/** Starts and stops, of a real libvirtd and of the broker. */
describe('libvirtd and the broker', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let host: PrivateHost
  before(async () => { host = await PrivateHost.start(cleanup, { ownPids: false }) })
  after(() => cleanup.run())

  const command = (daemon: Daemon, ...args: string[]): string[] => {
    // Without drivers, of which a host can have each but once.
    const own = daemon === 'libvirtd' ? ['env', 'LIBVIRT_DRIVER_DIR=/nonexistent', 'libvirtd', '--listen'] : brokerCommand()
    return [...own, ...args]
  }

  /** A directory with a configuration for both. */
  async function prepared(conf: Conf = {}): Promise<{ dir: string; file: string; pidFile: string }> {
    const dir = await tempDir(cleanup)
    const file = join(dir, 'c')
    await writeFile(file, confText({
      unix_sock_dir: dir, auth_unix_rw: 'none', auth_unix_ro: 'none', listen_tls: 0, log_outputs: '3:stderr', ...conf
    }))
    return { dir, file, pidFile: join(dir, 'pid') }
  }

  /** How both end that cannot start. */
  async function bothFail(conf: Conf, status: number, why: RegExp): Promise<void> {
    const { file, pidFile } = await prepared(conf)
    for (const daemon of DAEMONS) {
      const outcome = await run(host.inside(command(daemon, '-f', file, '-p', pidFile)))
      expect(outcome.stderr, daemon).to.match(why)
      expect(outcome.status, daemon).to.equal(status)
    }
  }

  it('do not both get the sockets: the one that was there goes on serving', async () => {
    const libvirtd = await Libvirtd.start(host, cleanup)
    const pid = readFileSync(join(libvirtd.socketDir, 'pid'), 'latin1')
    const { file, pidFile } = await prepared({ unix_sock_dir: libvirtd.socketDir, embedded_test_driver: 1 })
    const identity = (): number[] => [libvirtd.socket, libvirtd.roSocket].map(path => lstatSync(path).ino)
    const before = identity()
    const { status, stderr } = await run(brokerCommand('-f', file, '-p', pidFile))
    expect(stderr).to.contain(`'${libvirtd.socket}' is in use by process ${pid} (libvirtd): stop that first (kill ${pid}`)
    expect(status).to.equal(6)
    expect(identity()).to.deep.equal(before)
    await host.exec(['virsh', '-c', libvirtd.uri('test', '/default'), 'list'])
    // What a killed one leaves is nobody's.
    await libvirtd.stop('SIGKILL')
    const broker = host.spawn(brokerCommand('-f', file, '-p', pidFile))
    cleanup.defer(() => broker.stop())
    await waitFor('the broker', () => canConnect(libvirtd.roSocket))
    await host.exec(['virsh', '-c', libvirtd.uri('test', '/default'), 'list'])
  })

  it('do not both get a port, either', async () => {
    const port = String(await freePort())
    const tcp = { listen_tcp: 1, auth_tcp: 'none', listen_addr: '127.0.0.1', tcp_port: port }
    const first = await prepared(tcp)
    const libvirtd = host.spawn(command('libvirtd', '-f', first.file, '-p', first.pidFile))
    cleanup.defer(() => libvirtd.stop())
    await waitFor('libvirtd', () => canConnect(join(first.dir, 'libvirt-sock-ro')))
    const second = await prepared(tcp)
    const { status, stderr } = await run(host.inside(brokerCommand('-f', second.file, '-p', second.pidFile)))
    const pid = readFileSync(first.pidFile, 'latin1')
    expect(stderr).to.contain(`Unable to bind to port ${port} of 127.0.0.1: Address already in use; `)
    expect(stderr).to.contain(`'127.0.0.1:${port}' is in use by process ${pid} (libvirtd): stop that first`)
    expect(status).to.equal(6)
  })

  it('end with the same code where the configuration cannot be used', async () => {
    await bothFail({ unix_sock_group: 'no-such-group' }, 6, /no-such-group/)
    await bothFail({ log_outputs: '1:file:/no/such/log' }, 1, /failed to open \/no\/such\/log: No such file or directory/)
    const tls = { listen_tls: 1, ca_file: '/no/ca', cert_file: '/no/cert', key_file: '/no/key' }
    await bothFail(tls, 6, /Cannot read CA certificate '\/no\/ca': No such file or directory/)
  })

  it('say the same of a /run that is read-only', async () => {
    const { file, pidFile } = await prepared()
    await writeFile(file, confText({ auth_unix_rw: 'none', auth_unix_ro: 'none', listen_tls: 0, log_outputs: '3:stderr' }))
    const script = 'mount -t tmpfs -o ro none /run; exec "$@"'
    for (const daemon of DAEMONS) {
      const argv = command(daemon, '-f', file, '-p', pidFile)
      const { status, stderr } = await run(['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh', ...argv])
      expect(stderr, daemon).to.contain('unable to create rundir /run/libvirt: Read-only file system')
      expect(status, daemon).to.equal(2)
    }
  })

  it('start in the background with a configuration file that is named relatively', async () => {
    for (const daemon of DAEMONS) {
      const { dir, pidFile } = await prepared()
      const inDirectory = ['sh', '-c', 'cd "$0" && exec "$@"', dir]
      const argv = host.inside([...inDirectory, ...command(daemon, '-d', '-f', 'c', '-p', pidFile)])
      const outcome: Outcome = await run(argv)
      expect(outcome.status, `${daemon}: ${outcome.stderr}`).to.equal(0)
      expect(await canConnect(join(dir, 'libvirt-sock')), daemon).to.equal(true)
      await host.exec(['kill', readFileSync(pidFile, 'latin1')])
      await waitFor(`the end of ${daemon}`, async () => !(await canConnect(join(dir, 'libvirt-sock'))))
    }
  })

  const losses: [string, (dir: string, pidFile: string) => Promise<unknown>][] = [
    ['pid file', (_dir, pidFile) => rm(pidFile)],
    ['sockets', dir => mustRun(['sh', '-c', `rm ${dir}/libvirt-sock*`])],
    ['whole directory', dir => rm(dir, { recursive: true })]
  ]
  for (const [what, lose] of losses) {
    it(`end with 0 on SIGTERM without its ${what}`, async () => {
      for (const daemon of DAEMONS) {
        const { dir, file, pidFile } = await prepared()
        const program = host.spawn(command(daemon, '-f', file, '-p', pidFile))
        cleanup.defer(() => program.stop())
        await waitFor(daemon, () => canConnect(join(dir, 'libvirt-sock-ro')))
        const pid = readFileSync(pidFile, 'latin1')
        await lose(dir, pidFile)
        await host.exec(['kill', pid])
        expect(await program.exited, daemon).to.deep.equal({ status: 0, signal: null })
        await mkdir(dir, { recursive: true })
      }
    })
  }

  it('differ where the pid file is a link: libvirtd writes to what it leads to', async () => {
    for (const daemon of DAEMONS) {
      const { dir, file, pidFile } = await prepared()
      const target = join(dir, 'target')
      writeFileSync(target, 'keep')
      symlinkSync(target, pidFile)
      const program = host.spawn(command(daemon, '-f', file, '-p', pidFile))
      cleanup.defer(() => program.stop())
      if (daemon === 'libvirtd') {
        await waitFor('libvirtd', () => canConnect(join(dir, 'libvirt-sock-ro')))
        expect(readFileSync(target, 'latin1')).to.match(/^\d+$/)
        await host.exec(['kill', readFileSync(target, 'latin1')])
        await program.exited
      } else {
        expect((await program.exited).status).to.equal(1)
        expect(program.stderr).to.contain(`Failed to open pid file '${pidFile}': it is a symbolic link`)
        expect(readFileSync(target, 'latin1')).to.equal('keep')
      }
    }
  })
})
