import type { MessagePort } from 'node:worker_threads'
import { startTestDriver } from './test-driver/main.js'

export interface TestDriverTask {
  socketPath: string
  /** The ledger of descriptors, and the thread's number in it. */
  ledger: SharedArrayBuffer
  owner: number
  /** The thread says `ready`, and what fails in it, as text; any message to it ends the task. */
  port: MessagePort
}

/** A pool's task: the embedded test driver, until it is told to end. Rejects if its socket cannot be made. */
export default async function testDriverThread({ socketPath, ledger, owner, port }: TestDriverTask): Promise<void> {
  const ended = new Promise<void>(resolve => port.once('message', () => resolve()))
  const driver = startTestDriver({
    socketPath,
    ledger: { shared: ledger, owner },
    onFailure: error => port.postMessage({ failure: error instanceof Error ? (error.stack ?? error.message) : error })
  })
  port.postMessage('ready')
  await ended
  driver.close()
  port.close()
}
