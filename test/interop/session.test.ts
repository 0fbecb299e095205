import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { USER } from '../support/as-user.js'
import { brokerCommand } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv } from '../support/clients.js'
import { type Conf, confText } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { type Outcome, Program, run } from '../support/processes.js'
import { canConnect } from '../support/sockets.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const asNobody = ['setpriv', `--reuid=${USER.nobody}`, `--regid=${USER.nobody}`, '--clear-groups', '--']

describe('a broker of an ordinary user', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let home: string
  let env: NodeJS.ProcessEnv
  beforeEach(async () => {
    home = await tempDir(cleanup)
    await chmod(home, 0o700)
    await mkdir(join(home, 'run'), 0o700)
    for (const dir of [home, join(home, 'run')]) await chown(dir, USER.nobody, USER.nobody)
    env = { ...clientEnv, HOME: home, XDG_RUNTIME_DIR: join(home, 'run') }
    cleanup.defer(endLibvirtd)
  })
  afterEach(() => cleanup.run())

  const pidFile = (): string => join(home, 'run/libvirt/libvirtd.pid')
  const daemonPid = async (): Promise<number | undefined> =>
    readFile(pidFile(), 'latin1').then(text => Number(text) || undefined, () => undefined)

  /** It outlives the broker. */
  async function endLibvirtd(): Promise<void> {
    const pid = await daemonPid()
    if (pid === undefined) return
    process.kill(pid)
    await waitFor('the end of libvirtd', async () => (await daemonPid()) === undefined)
  }

  /** Beside the user's libvirtd, as the unit for users is. */
  function startBroker(conf: Conf = {}, variables: NodeJS.ProcessEnv = {}): Promise<Program> {
    const dir = join(home, 'run/virtbroker')
    return startIn(dir, { unix_sock_dir: dir, ...conf }, variables)
  }

  async function startIn(dir: string, conf: Conf, variables: NodeJS.ProcessEnv = {}): Promise<Program> {
    const file = join(home, 'broker.conf')
    await writeFile(file, confText({ log_outputs: '2:stderr', log_level: 2, ...conf }))
    const program = new Program([...asNobody, ...brokerCommand('-f', file, '-p', '')], { env: { ...env, ...variables } })
    cleanup.defer(() => program.stop())
    await waitFor('the broker', () => {
      if (program.ended) throw new Error(program.describe())
      return canConnect(join(dir, 'libvirt-sock'))
    })
    return program
  }

  const virsh = (...args: string[]): Promise<Outcome> => run([...asNobody, 'virsh', ...args], { env, timeout: 60_000 })
  const viaBroker = (scheme = 'qemu', path = '/session'): string => `${scheme}+unix://${path}?socket=${home}/run/virtbroker/libvirt-sock`

  it('starts the user\'s libvirtd for the first who wants it, and for all who come at once', async () => {
    const broker = await startBroker()
    const outcomes = await Promise.all(Array.from({ length: 6 }, () => virsh('-c', viaBroker(), 'list', '--all')))
    for (const { status, stderr } of outcomes) expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' })
    expect(broker.stderr.split('starting /usr/sbin/libvirtd').length - 1).to.equal(1)
    const pid = await daemonPid()
    expect((await readFile(`/proc/${pid}/cmdline`, 'latin1')).split('\0')).to.deep.equal(['/usr/sbin/libvirtd', '--timeout=120', ''])
    expect(await virsh('-r', '-c', viaBroker(), 'list'), 'read-only').to.include({ status: 0, stderr: '' })
    await broker.stop()
    expect(await virsh('-c', 'qemu:///session', 'list'), 'without the broker').to.include({ status: 0 })
    expect(await daemonPid()).to.equal(pid)
  })

  it('starts it for a client that names nothing', async () => {
    await startBroker()
    const { status, stdout } = await virsh('-c', viaBroker('remote', '/'), 'version')
    expect(status).to.equal(0)
    expect(stdout).to.contain('Using API: QEMU')
  })

  it('starts none for a name of the system', async () => {
    await startBroker()
    expect((await virsh('-c', viaBroker('qemu', '/system'), 'list')).stderr).to.contain('Failed to connect socket to')
    expect(await daemonPid()).to.equal(undefined)
  })

  it('starts none with LIBVIRT_AUTOSTART=0', async () => {
    await startBroker({}, { LIBVIRT_AUTOSTART: '0' })
    const { stderr } = await virsh('-c', viaBroker(), 'list')
    expect(stderr).to.contain(`Failed to connect socket to '${home}/run/libvirt/virtqemud-sock': No such file or directory`)
    expect(stderr).not.to.contain('(')
    expect(await daemonPid()).to.equal(undefined)
  })

  it('says what is missing where there is no daemon to start', async () => {
    await startBroker({}, { VIRTD_PATH: '/nowhere' })
    const { stderr } = await virsh('-c', viaBroker(), 'list')
    expect(stderr).to.contain('(no virtqemud or libvirtd in /nowhere)')
  })

  it('looks for the daemons of the system where it is told to, and starts none there', async () => {
    const port = await freePort()
    await startBroker({ driver_socket_dir: join(home, 'elsewhere'), listen_tcp: 1, tcp_port: String(port), auth_tcp: 'none' })
    expect((await virsh('-c', viaBroker(), 'list')).stderr).to.contain(`'${home}/elsewhere/virtqemud-sock': No such file`)
    expect(await daemonPid()).to.equal(undefined)
  })

  it('is administered by its user, and by root, and by nobody else', async () => {
    const dir = join(home, 'run/libvirt')
    const broker = await startIn(dir, {})
    const socket = join(dir, 'libvirt-admin-sock')
    await waitFor('the admin socket', () => canConnect(socket))
    const list = (as: readonly string[], uri: string): Promise<Outcome> => run([...as, 'virt-admin', '-c', uri, 'server-list'], { env })
    const listed = { status: 0, stderr: '' }
    for (const uri of ['libvirtd:///session', 'virtproxyd:///session']) expect(await list(asNobody, uri), uri).to.include(listed)
    const here = `virtproxyd:///session?socket=${socket}`
    expect(await list([], here)).to.include(listed)
    for (const place of [home, join(home, 'run'), dir]) await chmod(place, 0o755)
    await chmod(socket, 0o777)
    const { status, stdout } = await list(['setpriv', `--reuid=${USER.bin}`, `--regid=${USER.bin}`, '--clear-groups', '--'], here)
    // Its connection may be closed before it has said anything, and writing kills it then.
    expect(status).not.to.equal(0)
    expect(stdout).to.equal('')
    await broker.hasSaid(/operation forbidden: Disallowing client \d+ with uid 2\b/)
  })
})
