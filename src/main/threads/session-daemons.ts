import { spawn, type ChildProcess } from 'node:child_process'
import { constants } from 'node:fs'
import { access, mkdir, open, unlink, type FileHandle } from 'node:fs/promises'
import { connect } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { expose } from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { SOURCE } from '../../workers/base/log.js'
import { lockFile } from '../../workers/os/file-lock.js'
import { closeOnExecFrom } from '../../workers/os/libc.js'
import type { DaemonStarter } from '../../workers/thread/control.js'
import type { Logger } from '../log/logger.js'

const PROGRAM_DIR = '/usr/sbin'
/** A daemon without clients and running guests ends by itself. */
const ARGUMENTS = ['--timeout=120']
/**
 * Node has raised the limit of open files as far as it may, which would go on to a guest's helpers: some of them cannot
 * have a descriptor above 1024. The shell adds a variable of its own to the environment.
 */
const BEGIN = '(ulimit -Sn 1024) 2>/dev/null && ulimit -Sn 1024; unset PWD; exec "$0" "$@"'
/** All that libvirt's own programs leave a daemon of the environment. */
const ENVIRONMENT = [
  'PATH', 'LD_PRELOAD', 'LD_LIBRARY_PATH', 'HOME', 'USER', 'LOGNAME', 'TMPDIR',
  'XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'XDG_RUNTIME_DIR'
]
const FIRST_LOOK_MS = 10
const LAST_LOOK_MS = 100
/** A daemon that ends at once again and again is not started faster than this, whatever clients do. */
const RESTART_PAUSE_MS = 1000

type Environment = Readonly<Record<string, string | undefined>>

/** A process that we have started. */
interface Started {
  readonly process: ChildProcess
  readonly at: number
  /** How it ended, if it has. */
  end: string | undefined
}

/**
 * Starts the driver daemons of an ordinary user's session when a client wants them, as virtproxyd does: under the lock
 * file that libvirt's programs use for it, so that each is started once, whoever wants it. The daemons are nobody's
 * children: they outlive the broker, and end when there is nothing for them to do.
 */
export class SessionDaemons implements DaemonStarter {
  readonly #runDir: string
  readonly #environment: Environment
  readonly #logger: Pick<Logger, 'info'>
  /** By the names of daemons: starts under way, and what was started last. */
  readonly #starts = new Map<string, Promise<void>>()
  readonly #last = new Map<string, Started>()
  readonly #stopped = new AbortController()

  /** `runDir`: where the daemons make their sockets. */
  constructor(runDir: string, environment: Environment, logger: Pick<Logger, 'info'>) {
    this.#runDir = runDir
    this.#environment = environment
    this.#logger = logger
  }

  /** A way to ask, for one actor thread. */
  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    const starter: DaemonStarter = { start: (daemons, patienceMs) => this.start(daemons, patienceMs) }
    expose(starter, nodeEndpoint(port1))
    port1.unref()
    return port2
  }

  async start(daemons: readonly string[], patienceMs: number): Promise<void> {
    const directory = this.#environment['VIRTD_PATH'] ?? this.#environment['LIBVIRTD_PATH'] ?? PROGRAM_DIR
    const daemon = await firstProgram(directory, daemons)
    if (daemon === undefined) throw new Error(`no ${daemons.join(' or ')} in ${directory}`)
    let start = this.#starts.get(daemon)
    if (start === undefined) {
      start = this.#start(daemon, path.join(directory, daemon), patienceMs).finally(() => this.#starts.delete(daemon))
      this.#starts.set(daemon, start)
    }
    await start
  }

  /** Ends what is under way; daemons that run are left alone. */
  stop(): void {
    this.#stopped.abort(new Error('the broker stops'))
  }

  async #start(daemon: string, program: string, patienceMs: number): Promise<void> {
    const until = performance.now() + patienceMs
    const before = this.#last.get(daemon)
    const socket = path.join(this.#runDir, socketOf(daemon))
    const lock = await StartLock.open(this.#runDir, daemon)
    try {
      for (let pause = FIRST_LOOK_MS; ; pause = Math.min(2 * pause, LAST_LOOK_MS)) {
        // Who has it may just have started the daemon: looked at after this, its socket is there.
        const isOurs = lock.take()
        if (await listens(socket)) return
        const last = this.#last.get(daemon)
        if (last !== before && last?.end !== undefined) throw new Error(`${program} ended (${last.end}) before it listened`)
        if (performance.now() >= until) throw new Error(late(program, last, patienceMs))
        if (isOurs && mayStart(last)) this.#launch(daemon, program)
        await sleep(pause, undefined, { signal: this.#stopped.signal })
      }
    } finally {
      await lock.release()
    }
  }

  #launch(daemon: string, program: string): void {
    const given = ENVIRONMENT.flatMap(name => {
      const value = this.#environment[name]
      return value === undefined ? [] : [[name, value] as const]
    })
    const env = { LC_ALL: 'C', ...Object.fromEntries(given) }
    // In a session of its own, with /dev/null for all that it might read or say: its log is a file of its own.
    // Node sees to its own descriptors; there may be some that whoever started us has left open.
    closeOnExecFrom(3)
    const process = spawn('/bin/sh', ['-c', BEGIN, program, ...ARGUMENTS], { cwd: '/', env, detached: true, stdio: 'ignore' })
    const started: Started = { process, at: performance.now(), end: undefined }
    this.#last.set(daemon, started)
    process.once('exit', (code, signal) => (started.end = signal ?? `exit status ${code}`))
    process.once('error', error => (started.end ??= error.message))
    process.unref()
    this.#logger.info(SOURCE.driver, `starting ${program} for this user's session`)
  }
}

const socketOf = (daemon: string): string => (daemon === 'libvirtd' ? 'libvirt-sock' : `${daemon}-sock`)

/** One that runs has not listened yet, or no longer does: a second one would not help. */
const mayStart = (last: Started | undefined): boolean =>
  last === undefined || (last.end !== undefined && performance.now() - last.at >= RESTART_PAUSE_MS)

function late(program: string, last: Started | undefined, patienceMs: number): string {
  const which = last?.end === undefined && last !== undefined ? ` (process ${last.process.pid})` : ''
  return `${program}${which} did not listen within ${patienceMs / 1000} s (driver_connect_timeout)`
}

async function firstProgram(directory: string, daemons: readonly string[]): Promise<string | undefined> {
  for (const daemon of daemons) {
    const isThere = await access(path.join(directory, daemon), constants.X_OK).then(() => true, () => false)
    if (isThere) return daemon
  }
  return undefined
}

/** Whether a daemon takes connections there; one with a full backlog does. */
function listens(socket: string): Promise<boolean> {
  return new Promise(resolve => {
    const connection = connect(socket)
    connection.once('connect', () => {
      connection.destroy()
      resolve(true)
    })
    connection.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EAGAIN'))
  })
}

/** The file under whose lock libvirt's programs start a daemon of a session. */
class StartLock {
  readonly #path: string
  readonly #file: FileHandle
  #isOurs = false

  static async open(runDir: string, daemon: string): Promise<StartLock> {
    await mkdir(runDir, { recursive: true, mode: 0o700 })
    const file = path.join(runDir, `${daemon}.lock`)
    return new StartLock(file, await open(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600))
  }

  private constructor(file: string, handle: FileHandle) {
    this.#path = file
    this.#file = handle
  }

  /** Whether it is ours now. It never waits. */
  take(): boolean {
    this.#isOurs ||= lockFile(this.#file.fd) === 0
    return this.#isOurs
  }

  /** Who has waited for it meanwhile finds the daemon, or starts it under a file of its own. */
  async release(): Promise<void> {
    if (this.#isOurs) await unlink(this.#path).catch(() => undefined)
    await this.#file.close()
  }
}
