import { channel } from 'node:diagnostics_channel'
import type { ServedRecord } from '../thread/client-record.js'
import { DRIVERS, type ConnectOutcome } from '../thread/metric-families.js'

/** A connection to a driver daemon was to be opened, as subscribers of `virtbroker:driver:open` see it. */
export interface DriverOpen {
  /** Its number in the thread; undefined if there is none. */
  readonly connection: number | undefined
  /** Where it leads, or would have, what was to be opened there, and one of DRIVERS. */
  readonly socket: string | undefined
  readonly name: string | undefined
  readonly driver: string
  readonly readonly: boolean
  readonly outcome: ConnectOutcome
  readonly error: Error | undefined
  /** Since it was begun. */
  readonly seconds: number
}

/** One is closed, whatever it had come to: `virtbroker:driver:close`. */
export interface DriverClose {
  readonly connection: number
  /** Not by the broker. */
  readonly lost: boolean
  /** What calls have failed with that were out. */
  readonly error: Error
}

/** A client was to be reconnected after a loss: `virtbroker:driver:reconnect`. */
export interface DriverReconnect {
  readonly client: ServedRecord
  readonly driver: string
  readonly outcome: 'ok' | 'failed'
  readonly error: Error | undefined
}

const opens = channel('virtbroker:driver:open')
const closes = channel('virtbroker:driver:close')
const reconnects = channel('virtbroker:driver:reconnect')

/** `told`: makes what is published; without a subscriber nothing is. */
export function tellOpen(told: () => DriverOpen): void {
  if (opens.hasSubscribers) opens.publish(told())
}

export function tellClose(connection: number, lost: boolean, error: Error): void {
  if (closes.hasSubscribers) closes.publish({ connection, lost, error } satisfies DriverClose)
}

export function tellReconnect(client: ServedRecord, outcome: DriverReconnect['outcome'], error?: Error): void {
  if (!reconnects.hasSubscribers) return
  reconnects.publish({ client, driver: DRIVERS[client.driver]!, outcome, error } satisfies DriverReconnect)
}
