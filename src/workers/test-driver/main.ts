import { PROGRAM } from '../../protocol/header.js'
import type { Closable } from '../base/clock.js'
import { FdLedger } from '../os/fd-ledger.js'
import { ForeignCloser } from '../os/foreign-close.js'
import { Listener } from '../os/listener.js'
import { listenUnix } from '../os/listening-sockets.js'
import { Poller } from '../os/poller.js'
import { SplicePipe } from '../transport/splice-pipe.js'
import { makeReadBuffer, type ThreadIo } from '../transport/polled.js'
import { Turns } from '../thread/turns.js'
import { door } from './door.js'
import { allHandlers, qemuHandlers } from './handlers.js'
import { PolledLink } from './link.js'
import type { PrivateFiles } from './private-files.js'
import { Session, slotsOf, type Shared } from './session.js'
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
  const universe = new Universe(options.files, options.lasting ?? false)
  const ledger = new FdLedger()
  const closer = new ForeignCloser(ledger)
  const failedFor = (session: Closable | undefined, error: unknown): void => {
    failed(error)
    session?.close('internal failure', 'error')
  }
  const turns = new Turns(failedFor)
  const io: ThreadIo = {
    poller: new Poller(),
    ledger,
    owner: OWNER,
    closer,
    buffer: makeReadBuffer(),
    pipe: new SplicePipe(ledger, OWNER),
    failed: failedFor
  }
  const shared: Shared = {
    door,
    handlers: new Map([
      [PROGRAM.remote, allHandlers],
      [PROGRAM.qemu, qemuHandlers]
    ]),
    closer,
    attach: (uri, leaving) => universe.attach(uri, leaving),
    release: hypervisor => universe.release(hypervisor),
    now: () => performance.now(),
    failed
  }
  const slots = new Map([PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc].map(program => [program, slotsOf(program, shared)]))
  const links = new Set<PolledLink>()
  const serve = (path: string, readonly: boolean): Listener =>
    new Listener(
      { name: 'test-driver', transport: 'unix', readonly, auth: 'none' },
      listenUnix(path, MODE, undefined, BACKLOG),
      io.poller,
      closer,
      {
        mayAccept: () => true,
        accepted: (_, fd) => {
          ledger.adopt(fd, io.owner)
          const link: PolledLink = new PolledLink(io, turns, fd, end => new Session(end, shared, slots, readonly, () => links.delete(link)))
          links.add(link)
        },
        acceptedAll: () => undefined,
        trouble: (_, message) => failed(new Error(message))
      }
    )
  const listeners: Listener[] = []
  const close = (): void => {
    for (const listener of listeners) listener.close()
    for (const link of links) link.destroy()
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
