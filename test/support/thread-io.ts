import { FdLedger } from '#workers/os/fd-ledger.js'
import { Poller } from '#workers/os/poller.js'
import { makeReadBuffer, type ThreadIo } from '#workers/transport/polled.js'
import type { Cleanup } from './cleanup.js'

/** What transports need of an actor thread, for those that live in the test's own. A failure in one fails the test. */
export function threadIo(cleanup: Cleanup): ThreadIo {
  const io: ThreadIo = {
    poller: new Poller(),
    ledger: new FdLedger(),
    owner: 1,
    buffer: makeReadBuffer(),
    failed: (_, error) => {
      throw error
    }
  }
  cleanup.defer(() => Promise.resolve(io.poller.close()))
  return io
}
