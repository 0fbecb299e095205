/**
 * What the threads count for the metrics page, and where it stands in the memory of a thread. All labels are of closed
 * lists: nothing that a peer chooses makes the page longer.
 */

import { PROGRAM } from '../../protocol/header.js'

type Values = readonly string[]
type Labels = Readonly<Record<string, Values>>

export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** At most two. The first one's values stand furthest apart. */
  readonly labels: Labels
  /** What of several threads is told: all together, or the largest. */
  readonly across: 'sum' | 'max'
  /** What one unit of the memory is on the page. */
  readonly unit: number
  /** Index of its first word, of one combination of labels behind another, and of one value of the first label. */
  readonly at: number
  readonly step: number
  readonly row: number
}

/** Drivers by the scheme of what a client has opened. `none`: nothing is open. */
export const DRIVERS = [
  'none', 'qemu', 'lxc', 'xen', 'ch', 'bhyve', 'vbox', 'vz', 'test', 'network', 'storage', 'nodedev', 'secret', 'nwfilter',
  'interface', 'other'
] as const
export const NO_DRIVER = 0
const OTHER_DRIVER = DRIVERS.indexOf('other')

/** The index of a driver, of a URI or a scheme. */
export function driverOf(uri: string): number {
  const end = uri.search(/[:+]/)
  const index = DRIVERS.indexOf((end < 0 ? uri : uri.slice(0, end)) as (typeof DRIVERS)[number])
  return index <= NO_DRIVER ? OTHER_DRIVER : index
}

export const PRIORITIES = ['low', 'high'] as const
/** How a call ended. `lost`: its client or its driver daemon went away first. */
export const OUTCOMES = ['ok', 'error', 'refused', 'lost'] as const
export const OUTCOME = { ok: 0, error: 1, refused: 2, lost: 3 } as const

/** Upper bounds of the buckets of a histogram, in microseconds; above them there is one more. */
export const BUCKETS = [
  50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
  10_000_000, 30_000_000, 60_000_000, 300_000_000
] as const
/** The buckets, each with what is in it alone, and the sum of all that was observed. */
export const HISTOGRAM_WORDS = BUCKETS.length + 2

/** libvirt's error numbers; those that it does not have yet are counted together, under 0. */
const ERROR_CODES = Array.from({ length: 128 }, (_, code) => (code === 0 ? 'other' : String(code)))
const MICROSECONDS = 1e-6

let words = 0

type Rest = Partial<Pick<Family, 'across' | 'unit'>>

function family(name: string, help: string, type: Family['type'], labels: Labels, rest: Rest = {}): Family {
  const [first = [], second = []] = Object.values(labels)
  const step = type === 'histogram' ? HISTOGRAM_WORDS : 1
  const row = step * Math.max(1, second.length)
  const at = words
  words += row * Math.max(1, first.length)
  return { name, help, type, labels, across: 'sum', unit: type === 'histogram' ? MICROSECONDS : 1, ...rest, at, step, row }
}

const counter = (name: string, help: string, labels: Labels = {}, unit = 1): Family => family(name, help, 'counter', labels, { unit })
const histogram = (name: string, help: string, labels: Labels): Family => family(name, help, 'histogram', labels)

export const FAMILIES = {
  callErrors: counter(
    'call_errors_total', 'Calls that a driver daemon answered with an error, by libvirt\'s number of the error.',
    { driver: DRIVERS, code: ERROR_CODES }
  ),
  callQueue: histogram(
    'call_queue_seconds', 'Time of calls in the broker, from their arrival until their driver daemon was given them.',
    { driver: DRIVERS, priority: PRIORITIES }
  ),
  callDriver: histogram(
    'call_driver_seconds', 'Time of calls with their driver daemon, until the header of the reply.',
    { driver: DRIVERS, priority: PRIORITIES }
  )
} as const satisfies Record<string, Family>

/** Procedures of each program that are counted one by one, from 0. */
export const SPANS = [
  { prog: PROGRAM.remote, name: 'remote', procedures: 1024 },
  { prog: PROGRAM.qemu, name: 'qemu', procedures: 64 },
  { prog: PROGRAM.lxc, name: 'lxc', procedures: 64 }
] as const
/** How many places the procedures of all spans have. */
export const PLACES = SPANS.reduce((sum, { procedures }) => sum + procedures, 0)

/**
 * Behind the families: how many slots are taken, and the slots. Each is of one procedure of one driver, and taken when the
 * first such call has ended; the first slots are, driver by driver, those of all procedures that have none.
 */
export const SLOTS_USED_AT = words
export const SLOTS_AT = words + 1
export const MAX_SLOTS = DRIVERS.length + 1024
/** Words of a slot. The key is the procedure's place × drivers + the driver. */
export const SLOT = { key: 0, outcomes: 1, slow: 1 + OUTCOMES.length, duration: 2 + OUTCOMES.length } as const
export const SLOT_WORDS = SLOT.duration + HISTOGRAM_WORDS

export const WORDS = SLOTS_AT + MAX_SLOTS * SLOT_WORDS
