import { parentPort, Worker, workerData } from 'node:worker_threads'
import { StartupError } from '../config/startup-error.js'
import { loadTls, type LoadedTls, type TlsOptions } from './load.js'

/** What the thread says: what it has loaded, or why it could not. */
type Outcome = { loaded: LoadedTls } | { message: string; exitCode: number | undefined }

/**
 * `loadTls` in a thread of its own, which ends with it: certificates and lists may be long, and the supervisor has
 * connections to accept meanwhile. Rejects with the same StartupError.
 */
export async function loadTlsAside(options: TlsOptions): Promise<LoadedTls> {
  const worker = new Worker(new URL(import.meta.url), { workerData: options })
  const outcome = await new Promise<Outcome>((resolve, reject) => {
    worker.once('message', resolve).once('error', reject)
    worker.once('exit', () => reject(new Error('the thread that loads TLS files ended')))
  })
  if ('loaded' in outcome) return outcome.loaded
  throw outcome.exitCode === undefined ? new Error(outcome.message) : new StartupError(outcome.message, outcome.exitCode)
}

const outcomeOf = (options: TlsOptions): Promise<Outcome> =>
  loadTls(options).then(
    loaded => ({ loaded }),
    (error: Error) => ({ message: error.message, exitCode: error instanceof StartupError ? error.exitCode : undefined })
  )

if (parentPort !== null && isTask(workerData)) parentPort.postMessage(await outcomeOf(workerData))

/** This file may be loaded by another thread, for its function. */
function isTask(data: unknown): data is TlsOptions {
  return typeof data === 'object' && data !== null && 'files' in data && 'allowedNames' in data
}
