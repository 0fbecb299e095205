/** What can be asked of the broker as a whole. `idle`: to end because there has been no client for so long. */
export type LifeRequest = 'reload' | 'drain' | 'resume' | 'idle' | 'stop'
type LifeEvent = LifeRequest | 'started' | 'failed' | 'reloaded' | 'drained' | 'stopped'
export type LifeState = 'starting' | 'serving' | 'reloading' | 'draining' | 'finishing' | 'stopping' | 'stopped'

/**
 * What each state makes of what happens: the next state, or that it is to be seen to when the broker serves. What does
 * not stand here has no effect. *Finishing* is the draining of a stop, which nobody can undo.
 */
export const NEXT: Readonly<Record<LifeState, Readonly<Partial<Record<LifeEvent, LifeState | 'later'>>>>> = {
  starting: { started: 'serving', failed: 'stopping', reload: 'later', drain: 'later', stop: 'later' },
  serving: { reload: 'reloading', drain: 'draining', idle: 'finishing', stop: 'finishing' },
  reloading: { reloaded: 'serving', reload: 'later', drain: 'later', idle: 'finishing', stop: 'finishing' },
  draining: { resume: 'serving', reload: 'later', stop: 'finishing' },
  // Whoever asks a second time will not wait.
  finishing: { drained: 'stopping', stop: 'stopping' },
  stopping: { stopped: 'stopped' },
  stopped: {}
}

/** In this order what was put off is seen to. */
const LATER = ['stop', 'reload', 'drain'] as const

/** What the states do. */
export interface LifeEffects {
  /** Rejects if there can be no start; `stop` is called then, and puts away what there is. */
  start(): Promise<void>
  /** Never rejects. */
  reload(): Promise<void>
  /** No more clients are taken. Resolves when those that are there need no longer be waited for. Never rejects. */
  drain(): Promise<void>
  /** Clients are taken again. */
  resume(): void
  /** The draining cannot be undone from now on. */
  finish(): void
  /** Never rejects. */
  stop(): Promise<void>
}

/** The life of the broker, from its start to its end. */
export class Life {
  #state: LifeState = 'starting'
  readonly #later = new Set<LifeEvent>()
  #drained: Promise<void> = Promise.resolve()
  #end: () => void = () => {}
  /** Resolves when all is put away. */
  readonly stopped = new Promise<void>(resolve => (this.#end = resolve))

  /** `entered`: is told of each state, before anything is done in it. */
  constructor(
    readonly effects: LifeEffects,
    readonly entered: (state: LifeState) => void = () => {}
  ) {}

  get state(): LifeState {
    return this.#state
  }

  /** To be called once. Rejects if there could be no start, when all is put away. */
  async start(): Promise<void> {
    try {
      await this.effects.start()
    } catch (error) {
      this.#happens('failed')
      await this.stopped
      throw error
    }
    this.#happens('started')
  }

  /** Says whether it has, or will have, an effect. */
  request(what: LifeRequest): boolean {
    if (what === 'resume' && this.#later.delete('drain')) return true
    return this.#happens(what)
  }

  #happens(event: LifeEvent): boolean {
    const before = this.#state
    const next = NEXT[before][event]
    if (next === undefined) return false
    if (next === 'later') this.#later.add(event)
    else this.#enter((this.#state = next), before)
    return true
  }

  #enter(state: LifeState, before: LifeState): void {
    this.entered(state)
    switch (state) {
      case 'serving': {
        if (before === 'draining') this.effects.resume()
        const wanted = LATER.find(request => this.#later.delete(request))
        if (wanted !== undefined) this.#happens(wanted)
        return
      }
      case 'reloading':
        return void this.effects.reload().then(() => this.#happens('reloaded'))
      case 'draining':
        this.#drained = this.effects.drain()
        return
      case 'finishing':
        if (before !== 'draining') this.#drained = this.effects.drain()
        this.effects.finish()
        return void this.#drained.then(() => this.#happens('drained'))
      case 'stopping':
        return void this.effects.stop().then(() => this.#happens('stopped'))
      case 'stopped':
        return this.#end()
    }
  }
}
