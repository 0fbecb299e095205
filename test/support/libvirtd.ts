import { access, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { type Conf, confText } from './conf-file.js'
import type { PrivateHost } from './private-host.js'
import type { Program } from './processes.js'
import { canConnect } from './sockets.js'
import { waitFor } from './waiting.js'

/** Which driver modules a libvirtd loads: none leaves only test:///, one imitates a modular daemon. */
export type Drivers = 'all' | readonly string[]

/**
 * Settings of a daemon under test; `name` tells several daemons of one host apart, `args` are further arguments.
 * `command`: another libvirtd than this system's.
 */
export interface LibvirtdOptions { name?: string; drivers?: Drivers; conf?: Conf; args?: readonly string[]; command?: readonly string[] }

/** A real libvirtd on a private host, with sockets that need no authentication. */
export class Libvirtd {
  #program: Program | undefined

  private constructor(
    readonly host: PrivateHost,
    readonly socketDir: string,
    readonly argv: readonly string[],
    readonly env: NodeJS.ProcessEnv
  ) {}

  static async start(host: PrivateHost, cleanup: Cleanup, options: LibvirtdOptions = {}): Promise<Libvirtd> {
    const name = options.name ?? 'libvirtd'
    const socketDir = host.runPath(name)
    await mkdir(socketDir)
    const confPath = join(host.dir, 'etc', `${name}.conf`)
    await writeFile(confPath, confText({
      unix_sock_dir: socketDir, auth_unix_rw: 'none', auth_unix_ro: 'none', log_outputs: '3:stderr',
      // Otherwise drawn anew at each start on machines that do not tell theirs.
      host_uuid: '0f0e0d0c-0b0a-4908-8706-050403020100',
      ...options.conf
    }))
    const env: NodeJS.ProcessEnv = { ...process.env, LC_ALL: 'C' }
    if (options.drivers !== undefined && options.drivers !== 'all') {
      env['LIBVIRT_DRIVER_DIR'] = await driverDir(join(host.dir, `drivers-${name}`), options.drivers)
    }
    const argv = [...options.command ?? ['libvirtd'], '-f', confPath, '-p', join(socketDir, 'pid'), ...options.args ?? []]
    const daemon = new Libvirtd(host, socketDir, argv, env)
    cleanup.defer(() => daemon.stop())
    await daemon.restart()
    return daemon
  }

  get socket(): string { return join(this.socketDir, 'libvirt-sock') }
  get roSocket(): string { return join(this.socketDir, 'libvirt-sock-ro') }

  get ended(): boolean { return this.#program?.ended !== false }
  /** Resolves when it has ended by itself, or by whatever was done to it. */
  get exited(): Program['exited'] { return this.#program!.exited }

  /** All that the daemon logged. */
  get log(): string { return this.#program?.stderr ?? '' }

  /** The URI of this daemon for a client on the same machine, e.g. `uri('qemu', '/system')`. */
  uri(driver: string, path: string): string {
    return `${driver}+unix://${path}?socket=${this.socket}`
  }

  /** Starts the daemon again, which must not be running, with the same settings. */
  async restart(): Promise<void> {
    const program = this.host.spawn(this.argv, this.env)
    this.#program = program
    await waitFor(`libvirtd on ${this.socket}`, async () => {
      if (program.ended) throw new Error(`libvirtd ended: ${program.describe()}`)
      return canConnect(this.socket)
    })
  }

  /** Sends a signal to the daemon. Its own id is asked from its pid file: what we started is nsenter(1). */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const pid = await readFile(join(this.socketDir, 'pid'), 'utf8')
    await this.host.exec(['kill', '-s', signal.slice(3), pid.trim()])
    // nsenter(1) stops with what it started, as soon as it sees that, and would stay stopped.
    if (signal !== 'SIGSTOP') this.#program?.child.kill('SIGCONT')
  }

  /** Sends a signal and waits until the daemon is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const program = this.#program
    if (program === undefined || program.ended) return
    await this.signal(signal)
    // The file with its id may be gone by then, and it is at its end.
    const timer = setTimeout(() => { this.signal('SIGKILL').catch(() => undefined) }, 10000)
    await program.exited
    clearTimeout(timer)
  }
}

/** A folder with links to the wanted driver modules, for LIBVIRT_DRIVER_DIR. */
async function driverDir(dir: string, drivers: readonly string[]): Promise<string> {
  await mkdir(dir)
  for (const driver of drivers) {
    const file = await driverModule(driver)
    await symlink(file, join(dir, basename(file)))
  }
  return dir
}

/** Where Debian keeps a driver's module: below a folder named after the architecture. */
async function driverModule(driver: string): Promise<string> {
  for (const folder of await readdir('/usr/lib')) {
    const file = `/usr/lib/${folder}/libvirt/connection-driver/libvirt_driver_${driver}.so`
    if (await access(file).then(() => true, () => false)) return file
  }
  throw new Error(`libvirt has no ${driver} driver here`)
}

/** Starts virtlogd, through which libvirt lets QEMU write its log. */
export async function startVirtlogd(host: PrivateHost, cleanup: Cleanup): Promise<void> {
  const confPath = join(host.dir, 'etc/virtlogd.conf')
  await writeFile(confPath, confText({ log_outputs: '3:stderr' }))
  const program = host.spawn(['virtlogd', '-f', confPath, '-p', '/run/libvirt/virtlogd.pid'])
  cleanup.defer(async () => {
    await host.exec(['sh', '-c', 'kill $(cat /run/libvirt/virtlogd.pid)'])
    await program.exited
  })
  await waitFor('virtlogd', () => {
    if (program.ended) throw new Error(`virtlogd ended: ${program.describe()}`)
    return canConnect(host.runPath('virtlogd-sock'))
  })
}
