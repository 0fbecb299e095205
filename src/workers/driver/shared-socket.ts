import { Endpoint } from './endpoint.js'
import type { SharedConnection } from './shared-connection.js'

/** The socket of a driver daemon: the names that are open there on shared connections, and which of these nobody uses. */
export class SharedSocket {
  readonly #endpoints = new Map<string, Endpoint>()
  /** The one that is idle longest first. */
  readonly #idle = new Map<SharedConnection, Endpoint>()

  endpoint(name: string): Endpoint {
    let endpoint = this.#endpoints.get(name)
    if (endpoint === undefined) this.#endpoints.set(name, (endpoint = new Endpoint(this)))
    return endpoint
  }

  /** Nobody may be using that name any more. Returns whether nothing is open here. */
  left(name: string): boolean {
    if (this.#endpoints.get(name)?.isEmpty === true) this.#endpoints.delete(name)
    return this.#endpoints.size === 0
  }

  used(connection: SharedConnection): void {
    this.#idle.delete(connection)
  }

  unused(connection: SharedConnection, endpoint: Endpoint): void {
    this.#idle.set(connection, endpoint)
  }

  /** One that has been idle longest, if there are more than `most`. */
  tooIdle(most: number): SharedConnection | undefined {
    if (this.#idle.size <= most) return undefined
    for (const [one, endpoint] of this.#idle) if (endpoint.mayGo(one)) return one
    return undefined
  }
}
