import { basename, dirname } from 'node:path'
import { BootedHost } from './booted-host.js'
import type { Cleanup } from './cleanup.js'
import { confText } from './conf-file.js'
import { guestXml } from './guest.js'
import { install, VIRTQEMUD } from './modular-host.js'
import { mustRun, type Outcome, printed, type Program } from './processes.js'

export const BESIDE = 'qemu+unix:///system?socket=/run/virtbroker/libvirt-sock'
/** Whoever has libvirt's main socket. Left alone, virsh would go to the driver daemon itself where there is one. */
export const SYSTEM = 'qemu+unix:///system?socket=/run/libvirt/libvirt-sock'

/** What came of the calls of one client after the other while something was done. */
export interface Calls {
  calls: number
  /** What virsh said of those that failed. */
  failures: string[]
  /** The longest time between the ends of two that did not fail, in milliseconds. */
  pause: number
}

const qemuConf = confText({ user: 'root', group: 'root', security_driver: 'none', namespaces: [] })

/** A booted host with libvirtd and a guest that runs, on which the Debian package is installed by apt. */
export class PackageHost {
  private constructor(readonly host: BootedHost) {}

  /** `root`: see debianRoot(). */
  static async start(cleanup: Cleanup, root: string): Promise<PackageHost> {
    const host = await BootedHost.start(cleanup, root)
    await host.exec(['tee', '/etc/libvirt/qemu.conf'], { input: qemuConf })
    // How long a switch takes is to be seen, and with this driver libvirtd may take half a minute to end.
    await host.exec(['sh', '-c', 'rm /usr/lib/*/libvirt/connection-driver/libvirt_driver_nodedev.so'])
    await host.exec(['systemctl', 'start', 'virtlogd.socket', 'libvirtd.socket', 'libvirtd-ro.socket'])
    // No /dev/kvm in there: QEMU translates.
    const guest = guestXml('guest', 'c7a5fdbd-cdaf-9455-926a-d65c16db1809', '', 'qemu')
    await host.exec(['tee', '/run/guest.xml'], { input: guest })
    await host.exec(['virsh', '-c', SYSTEM, 'create', '/run/guest.xml'])
    return new PackageHost(host)
  }

  async exec(...argv: string[]): Promise<string> {
    return (await this.host.exec(argv, { timeout: 120_000 })).stdout.trim()
  }

  async write(path: string, text: string): Promise<void> {
    await this.exec('mkdir', '-p', dirname(path))
    await this.host.exec(['tee', path], { input: text })
  }

  /** Installs the package, or another release of it. There is no network: what it needs is there. */
  async install(file: string): Promise<void> {
    const inside = `/var/cache/${basename(file)}`
    await mustRun(['cp', file, `/proc/${this.host.pid}/root${inside}`])
    await this.exec('apt-get', 'install', '--yes', '--reinstall', inside)
  }

  list(uri: string): Promise<Outcome> {
    return this.host.run(['virsh', '-c', uri, 'list', '--name'])
  }

  /** A client that stays: asked as often as wanted, it lists the guests, and says what is the matter. */
  connect(uri: string): () => Promise<{ guests: string; errors: string }> {
    // In one pipe, so that nothing is read too late.
    const virsh: Program = this.host.spawn(['sh', '-c', 'exec virsh -q -c "$1" 2>&1', 'sh', uri])
    let asked = 0
    return async () => {
      const from = virsh.stdout.length
      const end = `end of ${++asked}`
      virsh.child.stdin.write(`list --name\necho ${end}\n`)
      await printed(virsh, new RegExp(`^${end}`, 'm'))
      const lines = virsh.stdout.slice(from).split('\n')
      const errors = lines.filter(line => line.includes('error: '))
      // It shows what it reads, too.
      const others = lines.filter(line => line !== '' && !errors.includes(line) && !/^virsh # |^list |^end of /.test(line))
      return { guests: others.join(), errors: errors.join('\n') }
    }
  }

  mode(): Promise<string> {
    return this.exec('virtbroker-mode')
  }

  /** E.g. `enabled, active`. */
  async state(unit: string): Promise<string> {
    const { stdout } = await this.host.run(['sh', '-c', `systemctl is-enabled ${unit}; systemctl is-active ${unit}`])
    return stdout.trim().replace('\n', ', ')
  }

  /** The guest's process, from its first to its last moment. */
  guest(): Promise<string> {
    return this.exec('sh', '-c', 'cut -d " " -f 1,2,22 "/proc/$(cat /run/libvirt/qemu/guest.pid)/stat"')
  }

  /** All files that are no business of dpkg's and systemd's own. */
  async files(): Promise<string[]> {
    const others = ['/var/lib/dpkg/*', '/var/log/*', '/var/cache/*', '/var/tmp/*'].map(path => `-not -path "${path}"`).join(' ')
    return (await this.exec('sh', '-c', `find /etc /usr /var -xdev ${others}`)).split('\n').sort()
  }

  /** Calls again and again, each time as a new client, while something is done, and until it has worked once after that. */
  async whileCalled(uri: string, what: () => Promise<unknown>): Promise<Calls> {
    const result: Calls = { calls: 0, failures: [], pause: 0 }
    let over = false
    let last = performance.now()
    const one = async (): Promise<boolean> => {
      const { status, stdout, stderr } = await this.list(uri)
      result.calls++
      if (status !== 0 || stdout.trim() !== 'guest' || stderr !== '') {
        result.failures.push(stderr)
        return false
      }
      result.pause = Math.max(result.pause, performance.now() - last)
      last = performance.now()
      return true
    }
    const loop = async (): Promise<void> => {
      for (let isOver = false, worked = false; !isOver || !worked;) {
        isOver = over
        worked = await one()
        if (isOver && !worked && performance.now() - last > 60_000) throw new Error(result.failures.at(-1))
      }
    }
    await Promise.all([loop(), what().finally(() => (over = true))])
    return result
  }
}

/**
 * A driver daemon of their own will take the guests that libvirtd has, when libvirtd is off and the first client comes. Both
 * at once cannot be: each would want to be the only one.
 */
export async function toModularDaemons(host: PackageHost): Promise<void> {
  await install(host.host, VIRTQEMUD)
}

/** That daemon is gone, and the guests are there for libvirtd. */
export async function toOneDaemon(host: PackageHost): Promise<void> {
  await host.exec('systemctl', 'disable', '--now', 'virtqemud.socket', 'virtqemud.service')
  await host.exec('sh', '-c', 'rm /etc/systemd/system/virtqemud.*; systemctl daemon-reload')
}
