import { rmdir } from 'node:fs/promises'
import path from 'node:path'
import { SOURCE } from '../../workers/base/log.js'
import { userIds } from '../../workers/names/lookup.js'
import { fileId, removeIf, type FileId } from '../../workers/os/own-file.js'
import type { TestDriverNews, TestDriverTask } from '../../workers/test-driver/process.js'
import type { Logger } from '../log/logger.js'
import { ForkedProcess } from './forked-process.js'
import { Keeper } from './keeper.js'

const RESTART_PAUSE_MS = 1000
/** The process has nothing to put away when it is told to end. */
const END_PATIENCE_MS = 2000
const SCRIPT = new URL('../../workers/test-driver/process.js', import.meta.url)

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
  readonly #keeper: Keeper<ForkedProcess>
  /** The sockets that it has made. */
  readonly #made = new Map<string, FileId>()

  /** `user`: whom it is to run as; empty, or one that does not exist: as the broker. */
  constructor(
    readonly places: TestDriverPlaces,
    readonly user: string,
    readonly logger: Logger
  ) {
    this.#task = { socketPath: places.socket, directory: places.files, user: user === '' ? undefined : userIds(user) }
    this.#keeper = new Keeper({
      patience: END_PATIENCE_MS,
      start: () => this.#startProcess(),
      pause: () => RESTART_PAUSE_MS,
      died: (_run, why) => logger.log('test-driver-failed', SOURCE.testDriver, `the embedded test driver died (${why})`),
      failed: why => logger.log('test-driver-failed', SOURCE.testDriver, didNotStart(why))
    })
  }

  /** Resolves when its socket is there. */
  async start(): Promise<void> {
    try {
      await this.#keeper.start()
    } catch (error) {
      throw new Error(didNotStart((error as Error).message))
    }
    this.logger.info(SOURCE.testDriver, `serving test:///default on ${this.places.socket}`)
  }

  /** Takes the sockets away, and the directory if there is nothing in it. */
  async stop(): Promise<void> {
    if (this.#keeper.state === 'idle') return
    // While they are open no other file can be taken for them.
    const failures: unknown[] = []
    for (const [path, id] of this.#made) {
      try {
        removeIf(path, id)
      } catch (error) {
        failures.push(error)
      }
    }
    await this.#keeper.stop()
    await rmdir(this.places.files).catch(() => undefined)
    if (failures.length > 0) throw failures[0]
  }

  #startProcess(): ForkedProcess {
    // What goes through io_uring would keep the rights that the process gives away.
    const env = { ...process.env, UV_USE_IO_URING: '0' }
    const child = new ForkedProcess(SCRIPT, { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    child.ready = new Promise((resolve, reject) => {
      let isReady = false
      child.onMessage = said => {
        const { ready, notDropped, failure } = asNews(said)
        if (failure !== undefined && isReady) this.logger.log('test-driver-failed', SOURCE.testDriver, failure)
        if (failure !== undefined) reject(new Error(failure))
        if (ready !== true) return
        isReady = true
        this.#serves(notDropped)
        resolve()
      }
    })
    child.send(this.#task)
    return child
  }

  /** `notDropped`: why it could not become the user. */
  #serves(notDropped: string | undefined): void {
    if (notDropped !== undefined) {
      const who = `the embedded test driver cannot run as the user '${this.user}' (${notDropped})`
      this.logger.log('test-driver-root', SOURCE.testDriver, `${who}: it runs as root, and opens no file outside ${this.places.files}`)
    }
    for (const path of socketsOf(this.places)) {
      const id = fileId(path)
      if (id !== undefined) this.#made.set(path, id)
    }
  }
}

const didNotStart = (why: string): string => `the embedded test driver did not start: ${why}`

/** Only what is of the right type: a process with fewer rights than ours is not relied upon. */
function asNews(said: unknown): TestDriverNews {
  const { ready, notDropped, failure } = Object(said) as Partial<Record<keyof TestDriverNews, unknown>>
  return {
    ready: ready === true,
    ...(typeof notDropped === 'string' ? { notDropped } : {}),
    ...(typeof failure === 'string' ? { failure } : {})
  }
}
