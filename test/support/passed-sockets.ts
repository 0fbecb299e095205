import type { SpawnOptionsWithoutStdio } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { close } from '#workers/os/libc.js'
import { listenTcp, listenUnix, type ListeningSocket } from '#workers/os/listening-sockets.js'
import { brokerCommand } from './broker-command.js'
import type { Cleanup } from './cleanup.js'
import { type Conf, confText } from './conf-file.js'
import { Program } from './processes.js'
import { tempDir } from './temp-dir.js'

/** What is wrong about the variables that a start gets, where a test wants that. */
export type Variables = Record<'LISTEN_FDS' | 'LISTEN_FDNAMES' | 'LISTEN_PID', string>

/** Listening sockets that this process makes and hands over, as systemd does, to one broker after the other. */
export class PassedSockets {
  readonly #sockets: { name: string; socket: ListeningSocket }[] = []

  private constructor(readonly cleanup: Cleanup, readonly dir: string) {}

  static async in(cleanup: Cleanup): Promise<PassedSockets> {
    const dir = await tempDir(cleanup)
    mkdirSync(join(dir, 'sockets'))
    const sockets = new PassedSockets(cleanup, dir)
    cleanup.defer(() => Promise.resolve(sockets.close()))
    return sockets
  }

  /** Makes a UNIX socket; returns its path. */
  unix(name: string, file = name, mode = 0o600): string {
    const path = join(this.dir, 'sockets', file)
    this.#sockets.push({ name, socket: listenUnix(path, mode, undefined, 10) })
    return path
  }

  tcp(name: string, port: number, ip = '127.0.0.1'): void {
    this.#sockets.push({ name, socket: listenTcp(ip, port, 10) })
  }

  /** systemd's variables, and a program that sets the process id of what it becomes. */
  async command(conf: Conf, args: readonly string[] = [], variables: Partial<Variables> = {}): Promise<string[]> {
    const file = join(this.dir, 'broker.conf')
    await writeFile(file, confText({ unix_sock_dir: join(this.dir, 'own'), ...conf }))
    const all = {
      LISTEN_PID: '$$',
      LISTEN_FDS: String(this.#sockets.length),
      LISTEN_FDNAMES: this.#sockets.map(({ name }) => name).join(':'),
      ...variables
    }
    const exports = Object.entries(all).filter(([, value]) => value !== '').map(([name, value]) => `export ${name}=${value}; `)
    return ['sh', '-c', `${exports.join('')}exec "$@"`, 'sh', ...brokerCommand('-f', file, '-p', join(this.dir, 'pid'), ...args)]
  }

  async start(conf: Conf, options: { args?: string[]; variables?: Partial<Variables>; env?: NodeJS.ProcessEnv } = {}): Promise<Program> {
    const stdio = ['pipe', 'pipe', 'pipe', ...this.#sockets.map(({ socket }) => socket.fd)]
    const spawn = { stdio, env: { ...process.env, ...options.env } } as unknown as SpawnOptionsWithoutStdio
    const program = new Program(await this.command(conf, options.args, options.variables), spawn)
    this.cleanup.defer(() => program.stop())
    return program
  }

  close(): void {
    for (const { socket } of this.#sockets.splice(0)) {
      socket.removeFile()
      close(socket.fd)
    }
  }
}
