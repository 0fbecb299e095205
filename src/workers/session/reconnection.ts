import { rpcError, RemoteError } from '../../protocol/errors.js'
import { Timer, type Clock, type Closable, type Timed } from '../base/clock.js'
import { SOURCE, type LogSource } from '../base/log.js'
import type { LogKind } from '../base/log-kinds.js'
import type { Comebacks, Waiter } from '../driver/comebacks.js'
import type { OpenedDriver } from '../driver/drivers.js'
import type { Candidate, Way } from '../driver/driver-sockets.js'
import { notOpenedInTime } from '../driver/open-driver.js'
import type { Counters } from '../thread/counters.js'
import { driverOf, FAMILIES, RECONNECT_OUTCOMES } from '../thread/metric-families.js'
import type { Registrations } from './registrations.js'

const FIRST_PAUSE_MS = 250
/** A daemon that is back is not to be waited for. */
const LAST_PAUSE_MS = 2000

/** The session that is reconnected. */
export interface ReconnectionOwner {
  /** Whom an unexpected failure costs the connection. */
  readonly session: Closable
  /** The way to the daemon is tried from now on. False if that is not possible now. */
  reconnecting(): boolean
  open(way: Way, readonly: boolean): Promise<OpenedDriver>
  /** It is open again, and all is as before. */
  reconnected(opened: OpenedDriver, readonly: boolean): void
  /** Not yet: calls that wait for it fail. False if nobody wants it any more. */
  notReconnected(error: RemoteError): boolean
  failed(error: unknown): void
  log(kind: LogKind, message: string, source: LogSource): void
}

/** What it needs of its thread. */
export interface ReconnectionServices {
  readonly clock: Clock
  readonly settings: { readonly driverReconnect: boolean; readonly driverOpenTimeoutMs: number }
  readonly counters: Counters
}

/**
 * Reconnects a client after a restart of its driver daemon: connects again, opens the same name with the same flags and
 * identity, and makes the event registrations anew. The client's next call starts it and waits for it; a client that
 * listens for events is reconnected without one. What cannot be kept has ended with an error before: calls in flight,
 * streams.
 *
 * Not for a client that registered a close callback: that one asked to be told, and libvirt's programs then reconnect
 * by themselves.
 */
export class Reconnection implements Timed, Waiter {
  readonly #owner: ReconnectionOwner
  readonly #services: ReconnectionServices
  readonly #comebacks: Comebacks
  readonly #registrations: Registrations
  #target: { candidate: Candidate; readonly: boolean } | undefined
  #pauseMs = FIRST_PAUSE_MS
  /** Clock time before which nothing is tried: a daemon that is down must be a fast error. */
  #notBefore = 0
  /** Made when it is first needed. */
  #timer: Timer | undefined
  /** While registrations are made again, the timer is for that. */
  #late: (() => void) | undefined

  constructor(owner: ReconnectionOwner, services: ReconnectionServices, comebacks: Comebacks, registrations: Registrations) {
    this.#comebacks = comebacks
    this.#owner = owner
    this.#services = services
    this.#registrations = registrations
  }

  get session(): Closable {
    return this.#owner.session
  }

  /** Whether it may be tried, and it is time. */
  get possible(): boolean {
    return this.#target !== undefined && this.#services.clock.now >= this.#notBefore
  }

  /** Where it would connect to: while the client is served, where it is. Undefined where it never will again. */
  get target(): { readonly candidate: Candidate; readonly readonly: boolean } | undefined {
    return this.#target
  }

  /** CONNECT_OPEN has succeeded there. */
  opened(candidate: Candidate, readonly: boolean): void {
    this.#registrations.clear()
    this.#forget()
    this.#target = { candidate, readonly }
    this.#comebacks.seen(candidate.path)
  }

  /** The daemon is gone. `told`: the client knows, and nothing is done behind its back. */
  lost(told: boolean): void {
    this.#registrations.disconnected()
    if (told || !this.#services.settings.driverReconnect || this.#registrations.incomplete) this.#forget()
    this.#notBefore = 0
    this.#pauseMs = FIRST_PAUSE_MS
    this.#tryLater()
  }

  /** Starts to connect again, if that is possible. Calls can wait for it if this returns true. */
  begin(): boolean {
    const target = this.#target
    if (target === undefined || !this.possible || !this.#owner.reconnecting()) return false
    this.#comebacks.forget(target.candidate.path, this)
    this.#connect(target).catch((error: unknown) => this.#failed(error))
    return true
  }

  stop(): void {
    this.#services.clock.cancel(this.#timer)
    this.#forget()
  }

  /** The clock's ticks are not as fine as its time: the timer may go off a few milliseconds before `#notBefore`. */
  timeUp(): void {
    if (this.#late !== undefined) return this.#late()
    this.#notBefore = 0
    this.begin()
  }

  back(inMs: number): void {
    this.#notBefore = 0
    this.#tryIn(inMs)
  }

  #forget(): void {
    if (this.#target !== undefined) this.#comebacks.forget(this.#target.candidate.path, this)
    this.#target = undefined
  }

  async #connect({ candidate, readonly }: { candidate: Candidate; readonly: boolean }): Promise<void> {
    const owner = this.#owner
    // That somebody has ended it is no reason to start it: whoever opens it anew does.
    const opened = await owner.open({ candidates: [candidate], sought: candidate.path, starts: [] }, readonly)
    const refused = (error: unknown): void => {
      const what = `an event registration was refused by the restarted daemon: ${String(error)}`
      owner.log('registration-refused', what, SOURCE.driver)
    }
    const asked = this.#registrations.askAgain((prog, proc, args) => opened.call(proc, args, prog))
    const outcomes = await this.#inTime(asked, candidate.path)
    // It may have gone again meanwhile. From here on at once: a loss that is told before the client is open is told to nobody.
    if (!opened.serve()) throw rpcError('driver daemon was lost again')
    this.#registrations.renewed(outcomes, refused)
    this.#count('ok', candidate)
    owner.reconnected(opened, readonly)
    this.#comebacks.seen(candidate.path)
    const count = this.#registrations.size
    owner.log('info', `reconnected to the restarted driver daemon, ${count} registrations renewed`, SOURCE.driver)
  }

  /** They take as long as an opening may: a daemon whose workers are all stuck answers pings, and no calls. */
  async #inTime<T>(asked: Promise<T>, path: string): Promise<T> {
    if (this.#registrations.size === 0) return asked
    const { clock, settings } = this.#services
    const ms = settings.driverOpenTimeoutMs
    clock.set((this.#timer ??= new Timer(this)), ms)
    const late = new Promise<never>((_, reject) => (this.#late = () => reject(notOpenedInTime(path, ms))))
    try {
      return await Promise.race([asked, late])
    } finally {
      this.#late = undefined
      clock.cancel(this.#timer)
    }
  }

  #count(outcome: (typeof RECONNECT_OUTCOMES)[number], { uri, name }: Candidate): void {
    const { counters } = this.#services
    counters.add(FAMILIES.driverReconnects, 1, driverOf(uri ?? name), RECONNECT_OUTCOMES.indexOf(outcome))
  }

  #failed(error: unknown): void {
    if (!(error instanceof RemoteError)) this.#owner.failed(error)
    if (!this.#owner.notReconnected(error as RemoteError)) return
    if (this.#target !== undefined) this.#count('failed', this.#target.candidate)
    this.#owner.log('info', `not reconnected: ${String(error)}`, SOURCE.driver)
    this.#notBefore = this.#services.clock.now + this.#pauseMs
    this.#pauseMs = Math.min(2 * this.#pauseMs, LAST_PAUSE_MS)
    this.#tryLater()
  }

  #tryLater(): void {
    if (this.#target === undefined) return
    this.#comebacks.wait(this.#target.candidate.path, this)
    this.#tryIn(this.#pauseMs)
  }

  /** A client with registrations is not to be deaf until it happens to call. */
  #tryIn(ms: number): void {
    if (this.#registrations.size > 0) this.#services.clock.set((this.#timer ??= new Timer(this)), ms)
  }
}
