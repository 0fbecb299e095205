import { FdLedger } from '#workers/os/fd-ledger.js'
import { ForeignCloser } from '#workers/os/foreign-close.js'
import { Poller } from '#workers/os/poller.js'
import { SplicePipe } from '#workers/transport/splice-pipe.js'
import { makeReadBuffer, type ThreadIo } from '#workers/transport/thread-io.js'
import type { Cleanup } from './cleanup.js'

/** What transports need of an actor thread, for those that live in the test's own. A failure in one fails the test. */
export function threadIo(cleanup: Cleanup): ThreadIo {
  const ledger = new FdLedger()
  const io: ThreadIo = {
    poller: new Poller(),
    ledger,
    owner: 1,
    closer: new ForeignCloser(ledger),
    buffer: makeReadBuffer(),
    pipe: new SplicePipe(ledger, 1),
    failed: (_, error) => {
      throw error
    }
  }
  cleanup.defer(() => {
    io.pipe.close()
    return Promise.resolve(io.poller.close())
  })
  return io
}
