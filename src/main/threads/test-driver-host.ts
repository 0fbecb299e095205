import { fork, type ChildProcess } from 'node:child_process'
import { rmdir } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { SOURCE } from '../../workers/base/log.js'
import { userIds } from '../../workers/names/lookup.js'
import { fileId, removeIf, type FileId } from '../../workers/os/own-file.js'
import type { TestDriverNews, TestDriverTask } from '../../workers/test-driver/process.js'
import { inTurn } from '../life/in-turn.js'
import type { Logger } from '../log/logger.js'

const RESTART_PAUSE_MS = 1000
/** The process has nothing to put away when it is told to end. */
const END_PATIENCE_MS = 2000
const SCRIPT = fileURLToPath(new URL('../../workers/test-driver/process.js', import.meta.url))

export interface TestDriverPlaces {
  socket: string
  files: string
}

/** Both beside the broker's own socket. */
export const testDriverPlaces = (mainSocket: string): TestDriverPlaces => ({
  socket: path.join(path.dirname(mainSocket), 'virttestd-sock'),
  files: path.join(path.dirname(mainSocket), 'test-driver')
})

/** One for each kind of client, as every driver has them. */
export const socketsOf = ({ socket }: TestDriverPlaces): string[] => [socket, `${socket}-ro`]

/**
 * The embedded test driver, in a process of its own: to the broker it is a driver daemon like any other, behind a UNIX
 * socket that only the broker's user may connect to. A process and not a thread, because all rights of a thread are
 * within the reach of its neighbours, and because it can give root's away. If it dies it is started again, with its
 * hypervisors as they are at the beginning.
 */
export class TestDriverHost {
  readonly #task: TestDriverTask
  #child: ChildProcess | undefined
  #hasServed = false
  /** The sockets that it has made. */
  readonly #made = new Map<string, FileId>()
  #stopping = false

  /** `user`: whom it is to run as; empty, or one that does not exist: as the broker. */
  constructor(
    readonly places: TestDriverPlaces,
    readonly user: string,
    readonly logger: Logger
  ) {
    this.#task = { socketPath: places.socket, directory: places.files, user: user === '' ? undefined : userIds(user) }
  }

  /** Resolves when its socket is there. */
  async start(): Promise<void> {
    await this.#run()
    this.#hasServed = true
    this.logger.info(SOURCE.testDriver, `serving test:///default on ${this.places.socket}`)
  }

  /** Takes the sockets away, and the directory if there is nothing in it. */
  async stop(): Promise<void> {
    this.#stopping = true
    // While they are open no other file can be taken for them.
    const failures: Error[] = []
    const removals = [...this.#made].map(([path, id]) => [path, () => removeIf(path, id)] as const)
    await inTurn(removals, (_path, error) => failures.push(error))
    const child = this.#child
    if (child !== undefined) {
      const ended = new Promise(resolve => child.once('exit', resolve))
      const timer = setTimeout(() => child.kill('SIGKILL'), END_PATIENCE_MS)
      if (child.connected) child.disconnect()
      await ended
      clearTimeout(timer)
    }
    if (!this.#hasServed) return
    await rmdir(this.places.files).catch(() => undefined)
    if (failures[0] !== undefined) throw failures[0]
  }

  #run(): Promise<void> {
    const child = fork(SCRIPT, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.#child = child
    return new Promise((resolve, reject) => {
      let ready = false
      let failure: string | undefined
      child.on('message', (said: unknown) => {
        const news = asNews(said)
        if (news.failure !== undefined) {
          failure = news.failure
          if (ready) this.logger.error(SOURCE.testDriver, failure)
        }
        if (news.notDropped !== undefined) {
          const who = `the embedded test driver cannot run as the user '${this.user}' (${news.notDropped})`
          this.logger.warn(SOURCE.testDriver, `${who}: it runs as root, and opens no file outside ${this.places.files}`)
        }
        if (news.ready !== true) return
        ready = true
        for (const path of socketsOf(this.places)) this.#note(path)
        resolve()
      })
      const gone = (why: string): void => {
        if (this.#child !== child) return
        this.#child = undefined
        if (!ready) reject(new Error(`the embedded test driver did not start: ${failure ?? why}`))
        else if (!this.#stopping) this.#restart(`the embedded test driver died (${why})`)
      }
      child.on('error', error => gone(error.message))
      child.once('exit', (code, signal) => gone(signal ?? `exit status ${code}`))
      // That it died before it could read this is told by its exit.
      child.send(this.#task, () => undefined)
    })
  }

  #note(path: string): void {
    const id = fileId(path)
    if (id !== undefined) this.#made.set(path, id)
  }

  #restart(why: string): void {
    this.logger.error(SOURCE.testDriver, why)
    setTimeout(() => {
      if (!this.#stopping) this.#run().catch((error: Error) => this.#restart(error.message))
    }, RESTART_PAUSE_MS).unref()
  }
}

/** Only what is of the right type: a process with fewer rights than ours is not relied upon. */
function asNews(said: unknown): TestDriverNews {
  const { ready, notDropped, failure } = Object(said) as Partial<Record<keyof TestDriverNews, unknown>>
  return {
    ready: ready === true,
    ...(typeof notDropped === 'string' ? { notDropped } : {}),
    ...(typeof failure === 'string' ? { failure } : {})
  }
}
