import { channel } from 'node:diagnostics_channel'
import type { RemoteError } from '../../protocol/errors.js'
import { PROGRAM } from '../../protocol/header.js'
import { procedureName } from '../../protocol/procedures.js'
import type { ServedRecord } from '../thread/client-record.js'
import { DRIVERS, type CallOutcome } from '../thread/metric-families.js'
import { outcomeOf, type SessionObserver, type TimedCall } from '../thread/session-observer.js'

/** A call for the driver daemon that has come, as subscribers of `virtbroker:call:start` see it. */
export interface CallStart {
  readonly client: ServedRecord
  /** `remote`, `qemu` or `lxc`; the number of any other. */
  readonly program: string
  readonly procedure: string
  /** One of DRIVERS. */
  readonly driver: string
  /** The client's: two of its calls that are out at a time have seldom the same. */
  readonly serial: number
}

/** A call that has ended, as subscribers of `virtbroker:call:end` see it. */
export interface CallEnd extends CallStart {
  readonly outcome: CallOutcome
  /** libvirt's number of the error, if there is one. */
  readonly code: number | undefined
  /** Seconds in the broker, and with the driver daemon; 0 of what the broker has answered itself. */
  readonly queued: number
  readonly atDriver: number
}

const starts = channel('virtbroker:call:start')
const ends = channel('virtbroker:call:end')
const changes = channel('virtbroker:client:change')
const closes = channel('virtbroker:client:close')

const PROGRAMS: ReadonlyMap<number, string> = new Map([[PROGRAM.remote, 'remote'], [PROGRAM.qemu, 'qemu'], [PROGRAM.lxc, 'lxc']])

/** Tells the subscribers of diagnostics channels in this thread. It is made where a module was loaded that may have subscribed. */
export class Diagnostics implements SessionObserver {
  readonly timing = true
  readonly starts = true
  readonly #next: () => SessionObserver | undefined

  /** `next`: who is told all the same. */
  constructor(next: () => SessionObserver | undefined) {
    this.#next = next
  }

  get slowUs(): number {
    return this.#next()?.slowUs ?? Infinity
  }

  changed(client: ServedRecord): void {
    this.#next()?.changed(client)
    if (changes.hasSubscribers) changes.publish({ client })
  }

  closed(client: ServedRecord, why: string): void {
    if (closes.hasSubscribers) closes.publish({ client, why })
  }

  /** Whoever is told besides wants no starts. */
  begun(client: ServedRecord, prog: number, proc: number, serial: number): void {
    if (starts.hasSubscribers) starts.publish(startOf(client, prog, proc, serial))
  }

  answered(
    client: ServedRecord, prog: number, proc: number, code: number, queued: number, atDriver: number, serial: number
  ): void {
    this.#next()?.answered(client, prog, proc, code, queued, atDriver, serial)
    if (!ends.hasSubscribers) return
    const known = code > 0 ? code : undefined
    const end = { outcome: outcomeOf(code), code: known, queued: queued / 1e6, atDriver: atDriver / 1e6 }
    ends.publish({ ...startOf(client, prog, proc, serial), ...end } satisfies CallEnd)
  }

  refused(client: ServedRecord, prog: number, proc: number, why: RemoteError, serial: number): void {
    this.#next()?.refused(client, prog, proc, why, serial)
    if (!ends.hasSubscribers) return
    const end = { outcome: 'refused', code: why.code, queued: 0, atDriver: 0 } as const
    ends.publish({ ...startOf(client, prog, proc, serial), ...end } satisfies CallEnd)
  }

  slow(client: ServedRecord, call: TimedCall): void {
    this.#next()?.slow(client, call)
  }
}

const startOf = (client: ServedRecord, prog: number, proc: number, serial: number): CallStart =>
  ({ client, program: PROGRAMS.get(prog) ?? String(prog), procedure: procedureName(prog, proc), driver: DRIVERS[client.driver]!, serial })
