import { parentPort, Worker, workerData } from 'node:worker_threads'
import { StartupError } from './startup-error.js'

/** What the thread says: what came of the work, or why nothing did. */
type Outcome<T> = { result: T } | { message: string; exitCode: number | undefined }

interface Task {
  module: string
  argument: unknown
}

/** A file system may answer never, or a pipe stand in the place of a file. */
const PATIENCE_MS = 60_000

let threads = 0

/** Some of the threads have not ended. A process that ends as usual waits for them, even if they hang. */
export const worksAside = (): boolean => threads > 0

/**
 * Work in a thread of its own, which ends with it: it may read long files and wait for a name service, and the supervisor
 * has connections to accept meanwhile. `module`: the address of the one that offers the work, by `offer`. Rejects with the
 * same StartupError, or with one of its own when the work takes longer than `ms`.
 */
export async function aside<T>(module: string, argument: unknown, ms = PATIENCE_MS): Promise<T> {
  const worker = new Worker(new URL(module), { workerData: { module, argument } satisfies Task })
  threads++
  worker.once('exit', () => threads--)
  let timer: NodeJS.Timeout | undefined
  const outcome = await new Promise<Outcome<T>>((resolve, reject) => {
    worker.once('message', resolve).once('error', reject)
    worker.once('exit', () => reject(new Error('the thread ended')))
    timer = setTimeout(() => reject(new StartupError(`files could not be read within ${ms / 1000} s`)), ms)
  }).finally(() => {
    clearTimeout(timer)
    // One that waits in the kernel ends when that lets go of it.
    worker.unref()
    void worker.terminate()
  })
  if ('result' in outcome) return outcome.result
  throw outcome.exitCode === undefined ? new Error(outcome.message) : new StartupError(outcome.message, outcome.exitCode)
}

/** Does the work if the module is what its thread was started for: others may load it for its functions. */
export async function offer<A>(module: string, work: (argument: A) => unknown): Promise<void> {
  const task = workerData as Task | null
  if (parentPort === null || task?.module !== module) return
  let outcome: Outcome<unknown>
  try {
    outcome = { result: await work(task.argument as A) }
  } catch (error) {
    outcome = { message: (error as Error).message, exitCode: error instanceof StartupError ? error.exitCode : undefined }
  }
  parentPort.postMessage(outcome)
}
