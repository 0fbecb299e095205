import { readFileSync, realpathSync } from 'node:fs'
import type { Cleanup } from './cleanup.js'
import { mustRun, type Outcome, Program, run, type RunOptions } from './processes.js'
import { tempDir } from './temp-dir.js'
import { waitFor } from './waiting.js'

const repository = realpathSync(new URL('../../../', import.meta.url))
const modules = realpathSync(new URL('../../../node_modules', import.meta.url))

/** A control group of its own for the systemd to come, which takes all of what it sees for its own. */
const groupScript = `
set -e
mkdir "$1/cgroup"
mount -t cgroup2 none "$1/cgroup"
mkdir "$1/cgroup/$2"
echo $$ > "$1/cgroup/$2/cgroup.procs"
shift 2
exec "$@"
`

/** Another release, as debootstrap(8) makes it, may be booted instead. */
const ROOT = process.env['BOOTED_HOST_ROOT'] ?? '/'

/**
 * Boots this machine's own systemd, and nothing of what it would do to a machine: over a copy of the root directory that
 * is never written to, without devices, with the kernel's settings read-only. A test may start a unit as often as it likes.
 */
const bootScript = `
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
shift 2
for seen; do mkdir -p ".$seen"; mount --rbind "$seen" ".$seen"; done
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
while read -r name minor; do mknod -m 666 "dev/$name" c 1 "$minor"; done <<END
null 3
zero 5
full 7
random 8
urandom 9
END
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
: > etc/fstab
mkdir -p etc/systemd/system.conf.d
echo '[Manager]' > etc/systemd/system.conf.d/tests.conf
echo DefaultStartLimitIntervalSec=0 >> etc/systemd/system.conf.d/tests.conf
ip link set lo up
mkdir -p old-root
pivot_root . old-root
umount -l /old-root
exec env -i container=virtbroker PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
  /lib/systemd/systemd --system --unit=basic.target --log-target=null
`

/** A host that runs the systemd, and the units, of this machine (or of BOOTED_HOST_ROOT). Ends with its systemd, or with this process. */
export class BootedHost {
  private constructor(readonly pid: number) {}

  /** `root`: the root directory of another release, as debootstrap(8) makes it. */
  static async start(cleanup: Cleanup, root = ROOT): Promise<BootedHost> {
    if (process.getuid?.() !== 0) throw new Error('tests that boot a host must run as root')
    const dir = await tempDir(cleanup)
    const group = `virtbroker-${process.pid}-${Date.now()}`
    cleanup.defer(() => removeGroup(dir, group))
    const program = new Program([
      'unshare', '--mount', '--propagation', 'private', 'bash', '-c', groupScript, 'group', dir, group,
      'unshare', '--pid', '--fork', '--kill-child', '--mount', '--uts', '--ipc', '--net', '--cgroup',
      'bash', '-c', bootScript, 'boot', dir, root, repository, modules
    ])
    cleanup.defer(() => program.stop('SIGKILL'))
    const host = new BootedHost(await waitFor('the first process', () => systemdOf(program)))
    await waitFor('systemd', async () => {
      if (program.ended) throw new Error(`no systemd: ${program.describe()}`)
      const state = await run(host.inside(['systemctl', 'is-system-running']))
      return /^(running|degraded)$/m.test(state.stdout)
    }, 60_000)
    return host
  }

  /** The command, for a program outside, that runs `argv` in there. */
  inside(argv: readonly string[]): string[] {
    return ['nsenter', '-t', String(this.pid), '-p', '-m', '-u', '-i', '-n', '-C', '-r', '-w', '--', ...argv]
  }

  spawn(argv: readonly string[]): Program {
    return new Program(this.inside(argv))
  }

  run(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return run(this.inside(argv), options)
  }

  /** A command that must succeed. */
  exec(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return mustRun(this.inside(argv), options)
  }
}

/** The systemd that a process has started, if it is one already. */
function systemdOf(program: Program): number | undefined {
  if (program.ended) throw new Error(program.describe())
  const { pid } = program
  try {
    const child = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim()
    return readFileSync(`/proc/${child}/comm`, 'latin1') === 'systemd\n' ? Number(child) : undefined
  } catch {
    // There is none yet, or it was a command of the script's and has ended.
    return undefined
  }
}

async function removeGroup(dir: string, group: string): Promise<void> {
  const remove = 'find "$1/cgroup/$2" -depth -type d -exec rmdir {} ";"'
  const script = `mount -t cgroup2 none "$1/cgroup" || exit; ${remove}; test ! -d "$1/cgroup/$2"`
  await waitFor('the end of the control group', async () => {
    const { status } = await run(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'remove', dir, group])
    return status === 0
  })
}
