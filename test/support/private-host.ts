import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { confText } from './conf-file.js'
import { mustRun, type Outcome, printed, Program, type RunOptions } from './processes.js'
import { tempDir } from './temp-dir.js'

/**
 * Runs as process 1 of the private host. It hides the machine's own /run (D-Bus, machined, a running libvirtd) and
 * cgroups, puts directories of the test in the places whose names are compiled into libvirt, and then waits: when
 * the test process ends, in whatever way, its input ends, and the kernel kills everything else in here.
 * It must be bash, which reaps orphans: libvirt starts daemons and waits until they are gone.
 */
const initScript = `
set -e
mount -t tmpfs tmpfs /run
mkdir /run/lock
umount -R -l /sys/fs/cgroup 2>/dev/null || true
while read -r from to; do
  mkdir -p "$to"
  mount --bind "$1/$from" "$to"
done <<END
run /run/libvirt
etc /etc/libvirt
lib /var/lib/libvirt
log /var/log/libvirt
cache /var/cache/libvirt
END
ip link set lo up
echo ready
while read -r line; do :; done
`

/** QEMU as root without confinement: the only thing that works wherever the tests run. */
const qemuConf = confText({
  user: 'root', group: 'root', security_driver: 'none', cgroup_controllers: [], namespaces: [], remember_owner: 0
})

/**
 * A host of its own for libvirt's daemons: private mounts, network and process ids over one temporary directory.
 * Nothing of the machine is changed and a libvirtd that runs on it is not met. UNIX sockets are reached from outside
 * through the temporary directory: what the daemons call /run/libvirt is `<dir>/run`.
 */
export class PrivateHost {
  readonly #init: Program

  private constructor(readonly dir: string, init: Program, readonly ownPids: boolean) {
    this.#init = init
  }

  /** @param ownPids false: process ids mean the same inside and outside, for daemons that are to know their clients */
  static async start(cleanup: Cleanup, { ownPids = true } = {}): Promise<PrivateHost> {
    if (process.getuid?.() !== 0) throw new Error('tests with real libvirt daemons must run as root')
    const dir = await tempDir(cleanup)
    for (const part of ['run', 'etc', 'lib', 'log', 'cache']) await mkdir(join(dir, part))
    await writeFile(join(dir, 'etc/qemu.conf'), qemuConf)
    const init = new Program([
      'unshare', '--mount', '--propagation', 'private', '--net',
      ...(ownPids ? ['--pid', '--fork', '--mount-proc', '--kill-child'] : []),
      'bash', '-c', initScript, 'private-host', dir
    ])
    cleanup.defer(async () => {
      init.child.stdin.end()
      await init.stop('SIGTERM')
    })
    await printed(init, /^ready$/m)
    return new PrivateHost(dir, init, ownPids)
  }

  /** The path outside of a file under the daemons' /run/libvirt. */
  runPath(name: string): string {
    return join(this.dir, 'run', name)
  }

  /** The command, for a program outside, that runs `argv` on the private host. */
  inside(argv: readonly string[]): string[] {
    const pid = String(this.#init.pid)
    // The process of unshare(1) has the new mounts and network, but only its children have the new process ids.
    const pids = this.ownPids ? [`--pid=/proc/${pid}/ns/pid_for_children`] : []
    return ['nsenter', '-t', pid, '-m', '-n', ...pids, '--', ...argv]
  }

  /** The addresses on which somebody listens on TCP, in the kernel's hexadecimal form: `00000000:4082`. */
  async listening(): Promise<string[]> {
    const tables = await Promise.all(['tcp', 'tcp6'].map(name => readFile(`/proc/${this.#init.pid}/net/${name}`, 'utf8')))
    // Local address, remote address, state; 0A is listening.
    return tables.flatMap(table => [...table.matchAll(/^ *\d+: (\S+) \S+ 0A /gm)].map(([, address]) => address!)).sort()
  }

  /** Starts a program on the private host. */
  spawn(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): Program {
    return new Program(this.inside(argv), { env })
  }

  /** Runs a command on the private host, which must succeed. */
  exec(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return mustRun(this.inside(argv), options)
  }
}
