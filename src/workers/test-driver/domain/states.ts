// The life of a domain: numbers of libvirt's states, reasons and events, and the table of transitions.

export const STATE = {
  noState: 0,
  running: 1,
  blocked: 2,
  paused: 3,
  shutdown: 4,
  shutoff: 5,
  crashed: 6,
  suspended: 7
} as const
export type State = (typeof STATE)[keyof typeof STATE]

export const RUNNING = { unknown: 0, booted: 1, restored: 3, fromSnapshot: 4, unpaused: 5 } as const
export const PAUSED = { unknown: 0, user: 1, fromSnapshot: 7 } as const
export const SHUTOFF = {
  unknown: 0,
  shutdown: 1,
  destroyed: 2,
  crashed: 3,
  saved: 5,
  failed: 6,
  fromSnapshot: 7
} as const

export const EVENT = { defined: 0, undefined: 1, started: 2, suspended: 3, resumed: 4, stopped: 5 } as const
export const DEFINED = { added: 0, updated: 1, renamed: 2 } as const
export const UNDEFINED = { removed: 0, renamed: 1 } as const
export const STARTED = { booted: 0, restored: 2, fromSnapshot: 3 } as const
export const SUSPENDED = { paused: 0, fromSnapshot: 5 } as const
export const STOPPED = { shutdown: 0, destroyed: 1, crashed: 2, saved: 4, fromSnapshot: 6 } as const

/** Every state in which the domain has an id. */
const ACTIVE: readonly State[] = [
  STATE.noState,
  STATE.running,
  STATE.blocked,
  STATE.paused,
  STATE.shutdown,
  STATE.crashed,
  STATE.suspended
]
const NOT_OFF_NOR_PAUSED = ACTIVE.filter(state => state !== STATE.paused)

/** How libvirt's test driver refuses the operation in any other state: words, and the kind of error. */
export type Refusal = 'not-running' | 'named-not-running' | 'named-not-paused' | 'named-already-running'

export interface Transition {
  readonly from: readonly State[]
  readonly to: State
  readonly reason: number
  /** Lifecycle event and its detail; reboots are silent. */
  readonly event: readonly [event: number, detail: number] | undefined
  readonly refusal: Refusal
}

function stop(reason: number, detail: number, refusal: Refusal = 'not-running'): Transition {
  return { from: ACTIVE, to: STATE.shutoff, reason, event: [EVENT.stopped, detail], refusal }
}

/**
 * What each operation does. `poweroff` and `restart` are the ends of a shutdown or reboot, chosen by the definition's
 * `<on_poweroff>` and `<on_reboot>`.
 */
export const TRANSITIONS = {
  start: {
    from: [STATE.shutoff],
    to: STATE.running,
    reason: RUNNING.booted,
    event: [EVENT.started, STARTED.booted],
    refusal: 'named-already-running'
  },
  restore: {
    from: [STATE.shutoff],
    to: STATE.running,
    reason: RUNNING.restored,
    event: [EVENT.started, STARTED.restored],
    refusal: 'named-already-running'
  },
  suspend: {
    from: NOT_OFF_NOR_PAUSED,
    to: STATE.paused,
    reason: PAUSED.user,
    event: [EVENT.suspended, SUSPENDED.paused],
    refusal: 'named-not-running'
  },
  resume: {
    from: [STATE.paused],
    to: STATE.running,
    reason: RUNNING.unpaused,
    event: [EVENT.resumed, 0],
    refusal: 'named-not-paused'
  },
  destroy: stop(SHUTOFF.destroyed, STOPPED.destroyed),
  save: stop(SHUTOFF.saved, STOPPED.saved),
  crash: stop(SHUTOFF.crashed, STOPPED.crashed),
  halt: stop(SHUTOFF.fromSnapshot, STOPPED.fromSnapshot),
  poweroff: stop(SHUTOFF.shutdown, STOPPED.shutdown),
  restart: { from: ACTIVE, to: STATE.running, reason: RUNNING.booted, event: undefined, refusal: 'not-running' }
} as const satisfies Record<string, Transition>

export type Operation = keyof typeof TRANSITIONS

/** The transition if it is legal from `state`, else the refusal. */
export function transition(state: State, operation: Operation): Transition | Refusal {
  const row: Transition = TRANSITIONS[operation]
  return row.from.includes(state) ? row : row.refusal
}

export const isActive = (state: State): boolean => state !== STATE.shutoff
