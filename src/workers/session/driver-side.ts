import type { Closable } from '../base/clock.js'
import type { DriverEvents, DriverPort, DriverUser, ReplyJudge, ReplySink } from '../driver/driver-port.js'
import type { DriverOpening, Drivers, OpenedDriver, OpenOrder } from '../driver/drivers.js'
import type { FrameSource } from '../framing/frame-writer.js'
import type { ConnectionUse } from '../thread/driver-report.js'

/** The session that has a driver daemon. */
export interface DriverSideOwner extends DriverEvents {
  readonly session: Closable
  /** What is to be told of its connection to the daemon; undefined while there is none. */
  driverUse(): ConnectionUse | undefined
}

/** The client, as what comes from its driver daemon goes to it. */
export interface DriverClient extends ReplySink {
  readonly reader: FrameSource
  readonly sender: number | undefined
}

/** The way to the driver daemon: what is being opened, and then the port. */
export class DriverSide implements DriverUser {
  readonly #owner: DriverSideOwner
  readonly replies: DriverClient
  readonly judge: ReplyJudge
  #opening: DriverOpening | undefined
  /** While the name is open there, and while the session is closing until a frame from there is through. */
  #port: DriverPort | undefined

  constructor(owner: DriverSideOwner, client: DriverClient, judge: ReplyJudge) {
    this.#owner = owner
    this.replies = client
    this.judge = judge
  }

  get session(): Closable {
    return this.#owner.session
  }

  get driverEvents(): DriverEvents {
    return this.#owner
  }

  get relayed(): FrameSource {
    return this.replies.reader
  }

  get sender(): number | undefined {
    return this.replies.sender
  }

  use(): ConnectionUse | undefined {
    return this.#port === undefined ? undefined : this.#owner.driverUse()
  }

  /** Rejects with the RemoteError that the client gets; `drop` is to be called then. */
  open(drivers: Drivers, order: Omit<OpenOrder, 'user'>): Promise<OpenedDriver> {
    this.#opening = drivers.open({ ...order, user: this })
    return this.#opening.opened
  }

  /** The session uses it from now on. */
  begin(port: DriverPort): void {
    this.#opening = undefined
    this.#port = port
  }

  /** It is gone. False: it was not in use any more. */
  lost(port: DriverPort): boolean {
    if (this.#port !== port) return false
    this.#port = undefined
    return true
  }

  /** Whether the client takes what the daemon sends: if not, it is not read. */
  taking(yes: boolean): void {
    if (yes) this.#port?.resume()
    else this.#port?.pause()
  }

  /**
   * Gives up what is there or is being opened, or was opened and is of no use. The daemon itself ends streams and
   * registrations of a client whose connection closes, and calls that are still running (`busy`): for those it must not
   * wait until they are done.
   */
  drop(busy: boolean): void {
    const port = this.#port
    const opening = this.#opening
    this.#port = undefined
    this.#opening = undefined
    opening?.abandon()
    if (busy) port?.close()
    else port?.leave()
  }
}
