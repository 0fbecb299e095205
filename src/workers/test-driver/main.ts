import { MAX_FRAME_BYTES } from '../../protocol/header.js'
import { Clock, type Closable } from '../base/clock.js'
import { FdLedger } from '../os/fd-ledger.js'
import { ForeignCloser } from '../os/foreign-close.js'
import { Listener } from '../os/listener.js'
import { listenUnix } from '../os/listening-sockets.js'
import { Poller } from '../os/poller.js'
import { Server } from '../serving/server.js'
import { Turns } from '../thread/turns.js'
import { makeReadBuffer, type ThreadIo } from '../transport/thread-io.js'
import { SplicePipe } from '../transport/splice-pipe.js'
import { DriverClient } from './client.js'
import type { PrivateFiles } from './private-files.js'
import { programs } from './programs.js'
import { Universe } from './universe.js'

/** Connections that wait to be taken. */
const BACKLOG = 1000
const MODE = 0o700
/** In a ledger that is shared with nobody. */
const OWNER = 1

export interface TestDriverOptions {
  /** The driver's socket; beside it, `-ro` appended, stands its read-only twin. */
  socketPath: string
  /** Those that clients can name. */
  files: PrivateFiles
  /** Whether `test:///default` goes on when its last client has gone. */
  lasting?: boolean
  /** Hears of failures in the driver itself, which cost one client its connection and nobody else anything. */
  onFailure?: (error: unknown) => void
}

/**
 * Serves `test:///default` and `test:///path/of/file.xml` on a UNIX socket, in the thread that calls it. Throws
 * ListenError if a socket cannot be made. `close` closes all connections and both sockets.
 */
export function startTestDriver(options: TestDriverOptions): { close(): void } {
  const failed = options.onFailure ?? (() => undefined)
  const sessionFailed = (session: Closable | undefined, error: unknown): void => {
    failed(error)
    session?.close('internal failure', 'internal-failure')
  }
  const universe = new Universe(options.files, options.lasting ?? false)
  const ledger = new FdLedger()
  const io: ThreadIo = {
    poller: new Poller(),
    ledger,
    owner: OWNER,
    closer: new ForeignCloser(ledger),
    buffer: makeReadBuffer(),
    pipe: new SplicePipe(ledger, OWNER),
    failed: sessionFailed
  }
  const clock = new Clock(sessionFailed)
  const server = new Server<DriverClient>(
    { io, turns: new Turns(sessionFailed), clock },
    {
      programs,
      maxFrameBytes: MAX_FRAME_BYTES,
      // Whoever causes an event hears of it after the answer.
      answered: client => client.hypervisor?.events.flush(),
      left: client => client.leave(),
      failed
    }
  )
  let accepted = 0
  const serve = (path: string, readonly: boolean): Listener =>
    new Listener(
      { name: 'test-driver', transport: 'unix', readonly, auth: 'none' },
      listenUnix(path, MODE, undefined, BACKLOG),
      io.poller,
      io.closer,
      {
        mayAccept: () => true,
        // Each is a sender of its own: they all come from the broker.
        accepted: (_, fd) => server.accept(fd, ++accepted, connection => new DriverClient(connection, universe, readonly)),
        acceptedAll: () => undefined,
        trouble: (_, message) => failed(new Error(message))
      }
    )
  const listeners: Listener[] = []
  const close = (): void => {
    for (const listener of listeners) listener.close()
    server.close()
    clock.stop()
    io.poller.close()
    io.pipe.close()
  }
  try {
    listeners.push(serve(options.socketPath, false), serve(`${options.socketPath}-ro`, true))
  } catch (error) {
    close()
    throw error
  }
  return { close }
}
