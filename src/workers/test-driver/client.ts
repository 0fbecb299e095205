import { internalError } from '../../protocol/errors.js'
import type { Connection } from '../serving/server-session.js'
import type { Hypervisor } from './hypervisor.js'
import type { Universe } from './universe.js'

/** One client: what it has opened. */
export class DriverClient {
  /** Set by CONNECT_OPEN. */
  #hypervisor: Hypervisor | undefined
  readOnly = false
  #closeCallback = false
  /** While CONNECT_OPEN is at work. */
  #opening: AbortController | undefined
  #gone = false

  constructor(
    readonly connection: Connection,
    readonly universe: Universe,
    /** It came by the read-only socket. */
    readonly forcedReadOnly: boolean
  ) {}

  /** Undefined until it is open. */
  get hypervisor(): Hypervisor | undefined {
    return this.#hypervisor
  }

  requireOpen(): Hypervisor {
    if (!this.#hypervisor) throw internalError('hypervisor connection not open')
    return this.#hypervisor
  }

  /** CONNECT_OPEN. Fails with RemoteError. */
  async open(uri: string | undefined, flags: number): Promise<void> {
    if (this.#hypervisor) throw internalError('connection already open')
    this.#opening = new AbortController()
    const hypervisor = await this.universe.attach(uri, this.#opening.signal)
    this.#opening = undefined
    if (this.#gone) return this.universe.release(hypervisor)
    this.#hypervisor = hypervisor
    this.readOnly = this.forcedReadOnly || (flags & 1) !== 0
  }

  /** A driver that never loses its own connection has nothing to say to a close callback; the rules are kept. */
  setCloseCallback(wanted: boolean): void {
    if (wanted && this.#closeCallback) throw internalError('A close callback is already registered')
    this.#closeCallback = wanted
  }

  /** The connection is gone: lets go of the hypervisor and of all that was registered with it. */
  leave(): void {
    this.#gone = true
    this.#opening?.abort()
    const hypervisor = this.#hypervisor
    this.#hypervisor = undefined
    if (!hypervisor) return
    hypervisor.events.forget(this.connection)
    this.universe.release(hypervisor)
  }
}
