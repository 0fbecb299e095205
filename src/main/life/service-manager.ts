import type { LifeState } from './life.js'
import { Notifier } from './notifier.js'

/** What is told while the broker serves. */
export interface ServiceState {
  /** One line, for people: `systemctl status` shows it. */
  status(draining: boolean): string
  /** How long a stop that begins now may take, in milliseconds. */
  stopMs(): number
  /** Whether it is worth keeping: if not, the watchdog is to end it. */
  healthy(): boolean
}

const STATUS_MS = 1000
/** A watchdog is fed so often within its time that it does not matter if one ping comes late, or not at all. */
const PINGS = 3
const VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']

/** What the service manager (systemd) wants to know, and when. Started without one it does nothing. */
export class ServiceManager {
  readonly #notifier: Notifier | undefined
  readonly #watchdogMs: number
  readonly #timers: NodeJS.Timeout[] = []
  #broker: ServiceState | undefined
  /** As last told. */
  #status = ''
  #state: LifeState = 'starting'

  constructor(notifier: Notifier | undefined, watchdogMs = 0, readonly statusMs = STATUS_MS) {
    this.#notifier = notifier
    this.#watchdogMs = watchdogMs
  }

  /** Takes its variables out of the environment: programs that are started from here are not the service. */
  static of(env: NodeJS.ProcessEnv, pid = process.pid): ServiceManager {
    const [socket, usec, watched] = VARIABLES.map(name => env[name])
    for (const name of VARIABLES) delete env[name]
    // There are others, between a virtual machine and its host.
    if (socket === undefined || !/^[/@]/.test(socket)) return new ServiceManager(undefined)
    const watchdog = watched === undefined || watched === String(pid) ? Number(usec ?? 0) / 1000 : 0
    return new ServiceManager(new Notifier(socket), Number.isFinite(watchdog) ? watchdog : 0)
  }

  /** `broker`: is asked as soon as it serves. */
  follow(broker: ServiceState): void {
    this.#broker = broker
  }

  /** The broker's life has gone on. */
  entered(state: LifeState): void {
    const before = this.#state
    this.#state = state
    if (this.#notifier === undefined) return
    switch (state) {
      case 'serving':
        if (before === 'starting') this.#ready(this.#notifier)
        else if (before === 'reloading') this.#notifier.state('READY=1')
        return
      case 'reloading':
        return this.#notifier.state(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`)
      case 'finishing':
        this.#status = this.#text
        return this.#notifier.state(`STOPPING=1\n${statusLine(this.#status)}\nEXTEND_TIMEOUT_USEC=${1000 * this.#broker!.stopMs()}`)
      case 'stopping':
        this.#end()
        if (before === 'finishing') this.#notifier.state(statusLine('stopping'))
        return
      case 'stopped':
        return this.#notifier.close()
    }
  }

  /** Why the start has failed. */
  failed(why: string): void {
    this.#notifier?.state(statusLine(`could not start: ${why}`))
  }

  #ready(notifier: Notifier): void {
    this.#status = this.#text
    notifier.state(`READY=1\n${statusLine(this.#status)}`)
    this.#every(this.statusMs, () => this.#tellStatus(notifier))
    if (this.#watchdogMs > 0) {
      this.#every(this.#watchdogMs / PINGS, () => {
        if (this.#broker!.healthy()) notifier.hint('WATCHDOG=1')
      })
    }
  }

  get #text(): string {
    const draining = this.#state === 'draining' || this.#state === 'finishing'
    return `${draining ? 'draining, ' : ''}${this.#broker!.status(draining)}`
  }

  #tellStatus(notifier: Notifier): void {
    const text = this.#text
    if (text !== this.#status && notifier.hint(statusLine(text))) this.#status = text
  }

  #every(ms: number, act: () => void): void {
    this.#timers.push(setInterval(act, ms).unref())
  }

  #end(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
  }
}

const statusLine = (status: string): string => `STATUS=${status.replace(/\s+/g, ' ')}`
