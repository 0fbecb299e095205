import { channel } from 'node:diagnostics_channel'
import type { RemoteError } from '../../protocol/errors.js'
import { PROGRAM } from '../../protocol/header.js'
import { procedureName } from '../../protocol/procedures.js'
import type { ServedRecord } from '../thread/client-record.js'
import { DRIVERS } from '../thread/metric-families.js'
import { outcomeOf, type SessionObserver, type TimedCall } from '../thread/session-observer.js'

/** A call that has ended, as subscribers of `virtbroker:call:end` see it. */
export interface CallEnd {
  readonly client: ServedRecord
  /** `remote`, `qemu` or `lxc`; the number of any other. */
  readonly program: string
  readonly procedure: string
  /** One of DRIVERS. */
  readonly driver: string
  readonly outcome: 'ok' | 'error' | 'refused' | 'lost'
  /** libvirt's number of the error, if there is one. */
  readonly code: number | undefined
  /** Seconds in the broker, and with the driver daemon; 0 of what the broker has answered itself. */
  readonly queued: number
  readonly atDriver: number
}

const ends = channel('virtbroker:call:end')
const changes = channel('virtbroker:client:change')
const closes = channel('virtbroker:client:close')

const PROGRAMS: ReadonlyMap<number, string> = new Map([[PROGRAM.remote, 'remote'], [PROGRAM.qemu, 'qemu'], [PROGRAM.lxc, 'lxc']])

/** Tells the subscribers of diagnostics channels in this thread. It is made where a module was loaded that may have subscribed. */
export class Diagnostics implements SessionObserver {
  readonly timing = true
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

  answered(client: ServedRecord, prog: number, proc: number, code: number, queued: number, atDriver: number): void {
    this.#next()?.answered(client, prog, proc, code, queued, atDriver)
    if (!ends.hasSubscribers) return
    const known = code > 0 ? code : undefined
    this.#publish(client, prog, proc, { outcome: outcomeOf(code), code: known, queued: queued / 1e6, atDriver: atDriver / 1e6 })
  }

  refused(client: ServedRecord, prog: number, proc: number, why: RemoteError): void {
    this.#next()?.refused(client, prog, proc, why)
    if (ends.hasSubscribers) this.#publish(client, prog, proc, { outcome: 'refused', code: why.code, queued: 0, atDriver: 0 })
  }

  slow(client: ServedRecord, call: TimedCall): void {
    this.#next()?.slow(client, call)
  }

  #publish(client: ServedRecord, prog: number, proc: number, end: Pick<CallEnd, 'outcome' | 'code' | 'queued' | 'atDriver'>): void {
    const program = PROGRAMS.get(prog) ?? String(prog)
    const told: CallEnd = { client, program, procedure: procedureName(prog, proc), driver: DRIVERS[client.driver]!, ...end }
    ends.publish(told)
  }
}
