import { peerCredentials } from '../../workers/os/accounts.js'
import { endpoint, endpointText, unixPath } from '../../workers/os/address.js'
import type { FdLedger } from '../../workers/os/fd-ledger.js'
import { SHUT_RDWR, shutdown } from '../../workers/os/libc.js'
import type { BusyReport } from '../../workers/thread/busy-report.js'
import type { ClientActivity, ClientRecord, HandOver } from '../../workers/thread/client-record.js'
import type { ConnectionPage } from '../../workers/thread/driver-report.js'
import type { TraceAnswer } from '../../workers/thread/trace-report.js'
import type { ActorThread } from './actor-thread.js'
import { within } from './within.js'

/** A client that was handed to a thread. */
export type Connected = HandOver & Pick<ClientRecord, 'identity'> & { readonly thread: number }

/** How long whoever asks waits for a thread. */
const ANSWER_MS = 1000

/** What is asked of the threads about their clients. */
export class ThreadQuestions {
  readonly #threads: readonly Pick<ActorThread, 'number' | 'control'>[]
  readonly #ledger: FdLedger
  readonly #warn: (message: string) => void

  /** `threads`: those that there are at any time. `warn`: of one that has not told of a client in time. */
  constructor(threads: readonly Pick<ActorThread, 'number' | 'control'>[], ledger: FdLedger, warn: (message: string) => void) {
    this.#threads = threads
    this.#ledger = ledger
    this.#warn = warn
  }

  /** What a client is doing. Undefined if its thread does not answer in time, which the log says, or does not have it. */
  async activity({ id, thread: number }: Connected): Promise<ClientActivity | undefined> {
    const activity = await inTime(this.#control(number)?.activity(id))
    if (activity !== 'silent') return activity
    this.#warn(`thread ${number} has not told of client ${id} in time`)
    return undefined
  }

  /** Connections of a thread to driver daemons, after the one with that number. 'silent' as in `trace`; undefined: it is gone. */
  connections(thread: number, after: number): Promise<ConnectionPage | 'silent' | undefined> {
    return inTime(this.#control(thread)?.connections(after))
  }

  /** The clients of each thread that do most; 'silent' as in `trace`. */
  busiest(): Promise<{ thread: number; report: BusyReport | 'silent' }[]> {
    return Promise.all(this.#threads.map(async ({ number: thread, control }) =>
      ({ thread, report: (await inTime(control.busiest())) ?? 'silent' as const })))
  }

  /** What a trace of a client has to tell, see Traces. 'silent': its thread does not answer in time. */
  trace(thread: number, id: number, by: number): Promise<TraceAnswer | 'silent' | undefined> {
    return inTime<TraceAnswer | undefined>(this.#control(thread)?.trace(id, by))
  }

  /**
   * Closes a client at once. Where its thread does not answer in time, or has not taken it up yet, its connection is shut
   * down: its peer sees the end of it, whatever the thread does.
   */
  async disconnect(client: Connected): Promise<void> {
    const closed = await inTime(this.#control(client.thread)?.disconnect(client.id))
    if (closed !== true && isStill(this.#ledger, client)) shutdown(client.fd, SHUT_RDWR)
  }

  #control(wanted: number): ActorThread['control'] | undefined {
    return this.#threads.find(({ number }) => number === wanted)?.control
  }
}

/** What a thread answers; undefined if there is none to ask. */
async function inTime<Answer>(asked: Promise<Answer> | undefined): Promise<Answer | 'silent' | undefined> {
  let answer: Answer | undefined
  const told = asked === undefined || (await within(ANSWER_MS, asked.then(given => (answer = given))))
  return told ? answer : 'silent'
}

/**
 * Whether the descriptor is still the client's: its thread may have closed it, of which the news is on its way, and opened
 * another by its number.
 */
function isStill(ledger: FdLedger, { fd, thread, listener, peer, via, identity }: Connected): boolean {
  if (!ledger.isOwn(fd, thread)) return false
  if (listener.transport === 'unix') {
    const { processId } = identity
    // A connection to a driver daemon has no name at this end.
    return unixPath(fd) !== undefined && (processId === undefined || peerCredentials(fd)?.pid === Math.max(0, processId))
  }
  const now = endpoint(fd, 'peer')
  return now !== undefined && endpointText(now) === (via ?? peer)
}
