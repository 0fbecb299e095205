import { HEADER_BYTES } from '../../protocol/header.js'
import type { Closable } from '../base/clock.js'
import type { FdLedger } from '../os/fd-ledger.js'
import type { ForeignCloser } from '../os/foreign-close.js'
import { Memory } from '../os/libc.js'
import type { Poller } from '../os/poller.js'
import type { SplicePipe } from './splice-pipe.js'

/** More than a UNIX socket holds by default (208 KiB): a driver daemon that waits for room in it gets all of it at once. */
export const READ_BYTES = 256 * 1024
/** Reads go behind room for one header: whoever splits a frame puts the header of the next piece there. */
export const READ_AT = HEADER_BYTES

/**
 * What the connections of one thread share. There is one read buffer: what is read is used up, or copied into a
 * queue, before the next read; it is never swapped for another.
 */
export interface ThreadIo {
  readonly poller: Poller
  readonly ledger: FdLedger
  /** The owner number under which this thread's descriptors stand in the ledger. */
  readonly owner: number
  /** Closes descriptors that peers have sent, and sockets in which some may lie. */
  readonly closer: ForeignCloser
  readonly buffer: Memory
  readonly pipe: SplicePipe
  /** An exception while one connection was served. It costs that connection only. */
  readonly failed: (session: Closable | undefined, error: unknown) => void
}

export const makeReadBuffer = (): Memory => new Memory(READ_AT + READ_BYTES)
