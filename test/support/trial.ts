import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { callFrame } from '#protocol/messages/frames.js'
import { REMOTE } from '#protocol/procedures.js'
import { type Conf, confText } from './conf-file.js'
import type { PrivateHost } from './private-host.js'
import { mustRun, type Program } from './processes.js'
import type { Attempt } from './tls-attempts.js'
import { waitFor } from './waiting.js'

const BROKER = new URL('../../../dist/main/virtbrokerd.js', import.meta.url).pathname
const ATTEMPTS = new URL('tls-attempts.js', import.meta.url).pathname

/** libvirtd of the machine, or our own daemon: both are given the same configuration. */
export type Daemon = 'libvirtd' | 'virtbrokerd'

let count = 0

/** A daemon that was started to see what it makes of a configuration. It runs, or has ended by itself. */
export class Trial {
  private constructor(
    readonly program: Program,
    /** The addresses that it listens on, sorted; undefined if it has ended. */
    readonly listening: readonly string[] | undefined
  ) {}

  /**
   * Starts it on a private host, which must have the process ids of the machine. Its sockets are in `host.runPath('')`,
   * unless `conf` says something else.
   */
  static async start(host: PrivateHost, daemon: Daemon, conf: Conf): Promise<Trial> {
    const file = join(host.dir, `trial-${++count}.conf`)
    await writeFile(file, confText({
      unix_sock_dir: '/run/libvirt', auth_unix_rw: 'none', auth_unix_ro: 'none', log_outputs: '3:stderr',
      host_uuid: '0f0e0d0c-0b0a-4908-8706-050403020100',
      ...conf
    }))
    const command = daemon === 'libvirtd' ? ['libvirtd', '--listen'] : [process.execPath, BROKER]
    // libvirtd listens on TLS unless it is told not to.
    const defaults = daemon === 'libvirtd' && !('listen_tls' in conf) ? ['listen_tls = 0\n'] : []
    await writeFile(file, defaults.join(''), { flag: 'a' })
    const env = { ...process.env, LC_ALL: 'C', LIBVIRT_DRIVER_DIR: join(host.dir, 'no-drivers') }
    const program = host.spawn([...command, '-f', file, '-p', join(host.dir, 'trial.pid')], env)
    const listeners = [conf['listen_tcp'], conf['listen_tls']].filter(on => on === 1).length
    const listening = await waitFor(`${daemon} to start or to end`, async () => {
      if (program.ended) return 'ended'
      const ports = new Set((await host.listening()).map(address => address.replace(/^.*:/, '')))
      // All addresses of a port are bound before the next answer.
      return ports.size >= listeners && (await answers(host.runPath('libvirt-sock'))) ? host.listening() : undefined
    }).catch(async (error: unknown) => {
      // The next one is to find the host as it was.
      await program.stop()
      throw new Error(program.describe(), { cause: error })
    })
    return new Trial(program, listening === 'ended' ? undefined : listening)
  }

  /** The exit code, or `serves`. */
  async outcome(): Promise<number | null | 'serves'> {
    return this.listening === undefined ? (await this.program.exited).status : 'serves'
  }

  get log(): string { return this.program.stderr }

  stop(): Promise<void> { return this.program.stop() }
}

/** Whether a daemon serves there: one that is still to fail in its start has sockets that connect already. */
function answers(path: string): Promise<boolean> {
  const socket = connect({ path })
  return new Promise<boolean>(resolve => {
    socket.once('connect', () => socket.write(callFrame(REMOTE.authList, 0)))
    socket.once('data', () => resolve(true))
    socket.once('error', () => undefined)
    socket.once('close', () => resolve(false))
  }).finally(() => socket.destroy())
}

/** What becomes of TLS clients at a port of the private host, one after the other: the cipher suite, or `refused`. */
export async function attempts(host: PrivateHost, port: number, wanted: readonly Attempt[]): Promise<string[]> {
  const argv = host.inside([process.execPath, ATTEMPTS, String(port)])
  return JSON.parse((await mustRun(argv, { input: JSON.stringify(wanted) })).stdout) as string[]
}
