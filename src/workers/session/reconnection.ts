import { rpcError, RemoteError } from '../../protocol/errors.js'
import { Timer, type Timed } from '../base/clock.js'
import type { Waiter } from '../driver/comebacks.js'
import type { Candidate } from '../driver/driver-sockets.js'
import { SOURCE } from '../base/log.js'
import type { ClientSession } from './client-session.js'
import { openDriver } from './open-connection.js'
import { Registrations } from './registrations.js'

const FIRST_PAUSE_MS = 250
/** A daemon that is back is not to be waited for. */
const LAST_PAUSE_MS = 2000

/**
 * Reconnects a client after a restart of its driver daemon: connects again, opens the same name with the same flags and
 * identity, and makes the event registrations anew. The client's next call starts it and waits for it; a client that
 * listens for events is reconnected without one. What cannot be kept has ended with an error before:
 * calls in flight, streams.
 *
 * Not for a client that registered a close callback: that one asked to be told, and libvirt's programs then reconnect
 * by themselves.
 */
export class Reconnection implements Timed, Waiter {
  readonly registrations = new Registrations()
  #target: { candidate: Candidate; readonly: boolean } | undefined
  #pauseMs = FIRST_PAUSE_MS
  /** Clock time before which nothing is tried: a daemon that is down must be a fast error. */
  #notBefore = 0
  readonly #timer = new Timer(this)

  constructor(readonly session: ClientSession) {}

  /** CONNECT_OPEN has succeeded there. */
  opened(candidate: Candidate, readonly: boolean): void {
    this.registrations.clear()
    this.#forget()
    this.#target = { candidate, readonly }
    this.session.actor.comebacks.seen(candidate.path)
  }

  /** The daemon is gone. `told`: the client knows, and nothing is done behind its back. */
  lost(told: boolean): void {
    this.registrations.disconnected()
    const { driverReconnect } = this.session.actor.settings
    if (told || !driverReconnect || this.registrations.incomplete) this.#forget()
    this.#notBefore = 0
    this.#pauseMs = FIRST_PAUSE_MS
    this.#tryLater()
  }

  /** Starts to connect again, if it may be and it is time. Calls can wait for it if this returns true. */
  begin(): boolean {
    const { session } = this
    const target = this.#target
    if (target === undefined || session.actor.clock.now < this.#notBefore || !session.become('reopening')) return false
    session.actor.comebacks.forget(target.candidate.path, this)
    this.#connect(target).catch((error: unknown) => this.#failed(error))
    return true
  }

  stop(): void {
    this.session.actor.clock.cancel(this.#timer)
    this.#forget()
  }

  /** The clock's ticks are not as fine as its time: the timer may go off a few milliseconds before `#notBefore`. */
  timeUp(): void {
    this.#notBefore = 0
    this.begin()
  }

  back(inMs: number): void {
    this.#notBefore = 0
    if (this.registrations.size > 0) this.session.actor.clock.set(this.#timer, inMs)
  }

  #forget(): void {
    if (this.#target !== undefined) this.session.actor.comebacks.forget(this.#target.candidate.path, this)
    this.#target = undefined
  }

  async #connect({ candidate, readonly }: { candidate: Candidate; readonly: boolean }): Promise<void> {
    const { session } = this
    const { driver, uri } = await openDriver(session, { candidates: [candidate], sought: candidate.path }, readonly)
    await this.registrations.renew(
      (prog, proc, args) => driver.call(proc, args, prog),
      error => session.log('warning', `an event registration was refused by the restarted daemon: ${String(error)}`, SOURCE.driver),
      () => session.driver === driver
    )
    // It may have gone again meanwhile.
    if (session.driver !== driver) throw rpcError('driver daemon was lost again')
    session.opened(driver, uri, readonly)
    session.actor.comebacks.seen(candidate.path)
    session.log('info', `reconnected to the restarted driver daemon, ${this.registrations.size} registrations renewed`, SOURCE.driver)
    session.flow.release()
  }

  #failed(error: unknown): void {
    const { session } = this
    if (!(error instanceof RemoteError)) session.actor.failed(session, error)
    if (!session.become('lost')) return
    session.log('info', `not reconnected: ${String(error)}`, SOURCE.driver)
    this.#notBefore = session.actor.clock.now + this.#pauseMs
    this.#pauseMs = Math.min(2 * this.#pauseMs, LAST_PAUSE_MS)
    session.flow.failWaiting(error as RemoteError)
    session.finishIfIdle()
    this.#tryLater()
  }

  /** A client with registrations is not to be deaf until it happens to call. */
  #tryLater(): void {
    if (this.#target === undefined) return
    const { clock, comebacks } = this.session.actor
    comebacks.wait(this.#target.candidate.path, this)
    if (this.registrations.size > 0) clock.set(this.#timer, this.#pauseMs)
  }
}
