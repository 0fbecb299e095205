import { chown, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { virshOk } from '../support/clients.js'
import { confText } from '../support/conf-file.js'
import { debianPackage } from '../support/built-packages.js'
import { debianRoot } from '../support/debian-root.js'
import { freePort } from '../support/free-port.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { mustRun, type Outcome, Program } from '../support/processes.js'
import { canConnect } from '../support/sockets.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const PATIENCE_MS = 900_000
const containerfile = new URL('../../../packaging/Containerfile', import.meta.url).pathname
const USER = 65534
/** What this machine's user may not raise is kept low. */
const ULIMITS = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']
/** Of the root directory what an image of Debian has: libvirt's daemons, QEMU and what is fetched anew stay behind. */
const LEFT_OUT = [
  './proc/*', './sys/*', './dev/*', './var/cache/*', './var/lib/apt/lists/*', './usr/share/doc/*', './usr/share/qemu*',
  './usr/bin/qemu-*', './usr/lib/x86_64-linux-gnu/libvirt/*', './usr/sbin/libvirtd', './usr/lib/modules/*'
]

describe('the container', function () {
  this.timeout(PATIENCE_MS)
  const cleanup = new Cleanup()
  after(() => cleanup.run())
  let dir: string
  let podman: string[]
  let libvirtd: Libvirtd
  let container: Program
  let port: number

  const run = (...args: string[]): Promise<Outcome> => mustRun([...podman, ...args], { timeout: PATIENCE_MS })

  before(async () => {
    const [file, root] = await Promise.all([debianPackage(), debianRoot('trixie')])
    dir = await tempDir(cleanup)
    /** With images and containers of its own, which end with the test. runc can do with control groups of all versions. */
    podman = [
      'podman', '--root', join(dir, 'root'), '--runroot', join(dir, 'run'), '--storage-driver', 'overlay', '--runtime', 'runc',
      '--cgroup-manager', 'cgroupfs'
    ]
    cleanup.defer(() => run('system', 'reset', '--force'))
    // In the place of the image that is fetched otherwise.
    const tar = ['tar', '-C', root, ...LEFT_OUT.map(path => `--exclude=${path}`), '-c', '.']
    await mustRun(['sh', '-c', `${tar.map(word => `'${word}'`).join(' ')} | ${podman.join(' ')} import - base`], { timeout: PATIENCE_MS })
    const build = ['--isolation', 'chroot', '--network', 'host', '--build-arg', 'BASE=localhost/base', '-f', containerfile]
    await run('build', ...build, '-t', 'virtbroker', dirname(file))
    libvirtd = await Libvirtd.start(await PrivateHost.start(cleanup), cleanup, { conf: { unix_sock_rw_perms: '0777' } })
    const sockets = join(dir, 'sockets')
    await mkdir(sockets)
    await chown(sockets, USER, USER)
    port = await freePort()
    const conf = join(dir, 'virtbrokerd.conf')
    await writeFile(conf, confText({
      unix_sock_dir: '/run/virtbroker', listen_tcp: 1, listen_addr: '127.0.0.1', tcp_port: String(port), auth_tcp: 'none'
    }))
    container = new Program([
      ...podman, 'run', '--rm', '--name', 'virtbroker', '--read-only', '--read-only-tmpfs=false', '--cap-drop', 'all',
      '--security-opt', 'no-new-privileges', ...ULIMITS, '--network', 'host', '-v', `${conf}:/etc/libvirt/virtbrokerd.conf:ro`,
      '-v', `${sockets}:/run/virtbroker`, '-v', `${libvirtd.socketDir}:/run/libvirt:ro`, 'virtbroker'
    ])
    cleanup.defer(() => container.stop())
    await waitFor('the broker', () => {
      if (container.ended) throw new Error(container.describe())
      return canConnect(port)
    }, 60_000)
  })

  it('passes calls on to the host\'s daemon, over TCP and a socket', async () => {
    const guest = join(dir, 'guest.xml')
    await writeFile(guest, '<domain type="qemu"><name>outside</name><memory>32768</memory><os><type>hvm</type></os></domain>')
    await virshOk(`qemu+tcp://127.0.0.1:${port}/system`, `define ${guest}`)
    expect(await virshOk(libvirtd.uri('qemu', '/system'), 'list --all --name')).to.contain('outside')
    expect(await virshOk(`qemu+unix:///system?socket=${dir}/sockets/libvirt-sock`, 'list --all --name')).to.contain('outside')
  })

  it('is no root, has no capabilities, and a root directory that is read-only', async () => {
    const look = 'grep -E "^(Uid|CapPrm|CapBnd|NoNewPrivs)" /proc/1/status; touch /usr/x /tmp/x 2>&1 || :'
    const { stdout } = await run('exec', 'virtbroker', 'sh', '-c', look)
    expect(stdout.replaceAll('\t', ' ').trim().split('\n')).to.deep.equal([
      `Uid: ${[USER, USER, USER, USER].join(' ')}`, 'CapPrm: 0000000000000000', 'CapBnd: 0000000000000000', 'NoNewPrivs: 1',
      'touch: cannot touch \'/usr/x\': Read-only file system', 'touch: cannot touch \'/tmp/x\': Read-only file system'
    ])
  })

  it('ends by itself when it is told to', async () => {
    await run('kill', '--signal', 'TERM', 'virtbroker')
    expect((await container.exited).status).to.equal(0)
  })
})
