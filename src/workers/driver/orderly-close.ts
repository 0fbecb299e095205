import { callFrame } from '../../protocol/messages/frames.js'
import { REMOTE } from '../../protocol/procedures.js'
import { Timer, type Clock, type Closable, type Timed } from '../base/clock.js'

/** How long a daemon may take to answer CONNECT_CLOSE. */
const ANSWER_MS = 2000
/** None of the broker's other calls has it. */
const SERIAL = 0xefffffff

/** CONNECT_CLOSE, the same for all driver connections: nobody may write into it. */
export const CLOSE_FRAME = callFrame(REMOTE.connectClose, SERIAL)

export const answersClose = (proc: number, serial: number): boolean => serial === SERIAL && proc === REMOTE.connectClose

/** What is closed in order. */
export interface Closing {
  readonly session: Closable
  close(): void
}

/** A driver connection on which CONNECT_CLOSE is out. It is closed after `ANSWER_MS` if nothing has ended it before. */
export class OrderlyClose implements Timed {
  readonly #deadline = new Timer(this)

  /** `closed`: is called when `end` is. */
  constructor(
    readonly connection: Closing,
    readonly clock: Clock,
    readonly closed: () => void
  ) {
    clock.set(this.#deadline, ANSWER_MS)
  }

  get session(): Closable {
    return this.connection.session
  }

  timeUp(): void {
    this.connection.close()
  }

  end(): void {
    this.clock.cancel(this.#deadline)
    this.closed()
  }
}
