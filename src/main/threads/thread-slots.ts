import type { Keeper, Run } from './keeper.js'

/** A thread that can be told to take no more clients, and has some still. */
export interface Leavable extends Run {
  /** It takes no more clients, and ends with its last one. */
  leaving: boolean
  readonly clients: number
}

/** How many threads there should be. */
export interface ThreadBounds {
  readonly min: number
  readonly max: number
}

interface Slot<R extends Leavable> {
  keeper: Keeper<R>
  leaving: boolean
}

/**
 * Places for threads, of which not all need to be taken. As in libvirt's pools, one that is more than are wanted leaves when
 * it has nothing to do, and those between the bounds stay as they are.
 */
export class ThreadSlots<R extends Leavable> {
  readonly #slots: readonly Slot<R>[]
  readonly #make: (index: number) => Keeper<R>
  #bounds: ThreadBounds

  /** `make`: what keeps the thread of a place. */
  constructor(count: number, make: (index: number) => Keeper<R>) {
    this.#make = make
    this.#bounds = { min: count, max: count }
    this.#slots = Array.from({ length: count }, (_, index) => ({ keeper: make(index), leaving: false }))
  }

  get bounds(): ThreadBounds {
    return this.#bounds
  }

  /** There are no more places than this. */
  get size(): number {
    return this.#slots.length
  }

  start(): void {
    for (const { keeper } of this.#slots) void keeper.start()
  }

  /** Resolves with whether each has ended in time. */
  stop(): Promise<boolean[]> {
    return Promise.all(this.#slots.map(({ keeper }) => keeper.stop()))
  }

  /** `bounds`: at least one thread at most, and no more than there are places. */
  resize(bounds: ThreadBounds): void {
    this.#bounds = bounds
    const staying = this.#slots.filter(({ leaving }) => !leaving)
    const away = this.#slots.filter(({ leaving }) => leaving)
    for (const slot of away.slice(0, Math.max(0, bounds.min - staying.length))) this.#comeBack(slot, this.#slots.indexOf(slot))
    // Before one that serves those that do not for now.
    const living = staying.filter(({ keeper }) => keeper.run !== undefined)
    const surplus = [...living, ...staying.filter(slot => !living.includes(slot))].slice(bounds.max)
    for (const slot of surplus) this.#leave(slot)
  }

  /** To be called when a client has ended, or a thread has died. */
  settle(): void {
    for (const slot of this.#slots) if (slot.leaving) this.#leave(slot)
  }

  #leave(slot: Slot<R>): void {
    slot.leaving = true
    const { run } = slot.keeper
    if (run !== undefined) run.leaving = true
    if (run === undefined || run.clients === 0) void slot.keeper.stop()
  }

  #comeBack(slot: Slot<R>, index: number): void {
    const { run, state } = slot.keeper
    slot.leaving = false
    if (run !== undefined && state !== 'stopping') run.leaving = false
    else {
      slot.keeper = this.#make(index)
      void slot.keeper.start()
    }
  }
}
