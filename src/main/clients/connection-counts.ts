import { peerCredentials } from '../../workers/os/accounts.js'
import type { ListenerKind } from '../../workers/os/listener-kind.js'

/** Connections of one address or user, at most; 0 is no limit. */
export interface CounterLimits {
  maxClientsPerAddress: number
  maxClientsPerUser: number
}

/** How many connections each address and user has, whether they are served or wait. */
export class ConnectionCounts {
  readonly #counts = new Map<string, number>()

  constructor(public limits: CounterLimits) {}

  /** Under what the connection is counted, if its kind is, and how many there may be of that. */
  counter(kind: ListenerKind, fd: number, peer: string | undefined): [counted: string | undefined, limit: number] {
    const { maxClientsPerAddress, maxClientsPerUser } = this.limits
    if (kind.transport !== 'unix') {
      const address = peer?.slice(0, peer.lastIndexOf(':'))
      return maxClientsPerAddress > 0 && address !== undefined ? [`address ${address}`, maxClientsPerAddress] : NOT_COUNTED
    }
    if (maxClientsPerUser === 0) return NOT_COUNTED
    const uid = peerCredentials(fd)?.uid
    return uid === undefined ? NOT_COUNTED : [`user ${uid}`, maxClientsPerUser]
  }

  of(counted: string): number {
    return this.#counts.get(counted) ?? 0
  }

  add(counted: string | undefined): void {
    if (counted !== undefined) this.#counts.set(counted, this.of(counted) + 1)
  }

  remove(counted: string | undefined): void {
    if (counted === undefined) return
    const count = this.of(counted) - 1
    if (count > 0) this.#counts.set(counted, count)
    else this.#counts.delete(counted)
  }
}

/** Of a connection that is not counted. */
export const NOT_COUNTED: [undefined, number] = [undefined, 0]
