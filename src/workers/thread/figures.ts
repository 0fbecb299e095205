const DRIVER_CONNECTIONS = 0
const CLIENTS = 1
const CALLS = 2
const STREAMS = 3
const CUT_OFF = 4
const WORDS = 5

/** What is not done. */
export interface Left {
  readonly clients: number
  /** That are not answered. */
  readonly calls: number
  readonly streams: number
}

/** What a thread has in hand, in memory that it shares with its supervisor, which need not ask it. */
export class Figures {
  readonly #words: Int32Array

  constructor(readonly shared: SharedArrayBuffer = new SharedArrayBuffer(4 * WORDS)) {
    this.#words = new Int32Array(shared)
  }

  get driverConnections(): number {
    return this.#words[DRIVER_CONNECTIONS]!
  }

  set driverConnections(count: number) {
    this.#words[DRIVER_CONNECTIONS] = count
  }

  /** While it is drained: as last looked. Once the time for that is over: what there was then. */
  get left(): Left {
    return { clients: this.#words[CLIENTS]!, calls: this.#words[CALLS]!, streams: this.#words[STREAMS]! }
  }

  set left({ clients, calls, streams }: Left) {
    this.#words[CLIENTS] = clients
    this.#words[CALLS] = calls
    this.#words[STREAMS] = streams
  }

  /** What is left was cut off. */
  get cutOff(): boolean {
    return this.#words[CUT_OFF] !== 0
  }

  set cutOff(yes: boolean) {
    this.#words[CUT_OFF] = yes ? 1 : 0
  }
}
