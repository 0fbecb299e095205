import { parentPort, Worker, workerData } from 'node:worker_threads'
import { StartupError } from './startup-error.js'

/** What the thread says: what came of the work, or why nothing did. */
type Outcome<T> = { result: T } | { message: string; exitCode: number | undefined }

interface Task {
  module: string
  argument: unknown
}

/**
 * Work in a thread of its own, which ends with it: it may read long files and wait for a name service, and the supervisor
 * has connections to accept meanwhile. `module`: the address of the one that offers the work, by `offer`. Rejects with the
 * same StartupError.
 */
export async function aside<T>(module: string, argument: unknown): Promise<T> {
  const worker = new Worker(new URL(module), { workerData: { module, argument } satisfies Task })
  const outcome = await new Promise<Outcome<T>>((resolve, reject) => {
    worker.once('message', resolve).once('error', reject)
    worker.once('exit', () => reject(new Error('the thread ended')))
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
