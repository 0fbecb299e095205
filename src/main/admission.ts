import { readFileSync } from 'node:fs'
import { peerCredentials } from '../workers/os/accounts.js'
import type { ListenerKind } from '../workers/os/listener.js'

/** What is to be allowed; 0 is no limit, but for `maxClients`. */
export interface AdmissionLimits {
  maxClients: number
  maxAnonymousClients: number
  maxClientsPerAddress: number
  maxClientsPerUser: number
}

export interface AdmittedClient {
  listener: string
  /** `address:port` of a TCP peer, or undefined for a UNIX client. */
  peer: string | undefined
  /** Milliseconds since the epoch. */
  since: number
  /** Has still to authenticate. */
  anonymous: boolean
  /** Under which address or user the client is counted, where there is such a limit. */
  counted: string | undefined
}

/** Descriptors that are left to logs, files and connections to driver daemons when no more clients are taken. */
const RESERVED_DESCRIPTORS = 64

/**
 * Who is connected, and whether one more may be. Over `max_clients` and `max_anonymous_clients` connections wait in
 * the backlog, as virtproxyd has it; over one of our own limits they are closed.
 */
export class ClientTable {
  readonly #clients = new Map<number, AdmittedClient>()
  readonly #counts = new Map<string, number>()
  readonly #maxDescriptor = openFilesLimit() - RESERVED_DESCRIPTORS
  #anonymous = 0

  constructor(readonly limits: AdmissionLimits) {}

  get size(): number {
    return this.#clients.size
  }

  get anonymous(): number {
    return this.#anonymous
  }

  get(id: number): AdmittedClient | undefined {
    return this.#clients.get(id)
  }

  hasRoom(): boolean {
    const { maxClients, maxAnonymousClients } = this.limits
    return this.size < maxClients && (maxAnonymousClients === 0 || this.#anonymous < maxAnonymousClients)
  }

  /** Enters an accepted connection. Returns why it must be refused instead, if so. */
  enter(id: number, kind: ListenerKind, fd: number, peer: string | undefined): string | undefined {
    // Descriptors are given out from the lowest, so this one tells how many are in use.
    if (fd >= this.#maxDescriptor) return 'the process is running out of file descriptors'
    const [counted, limit] = this.#counter(kind, fd, peer)
    if (counted !== undefined) {
      const count = this.#counts.get(counted) ?? 0
      if (count >= limit) return `${counted} has ${count} connections`
      this.#counts.set(counted, count + 1)
    }
    const anonymous = kind.auth !== 'none'
    if (anonymous) this.#anonymous++
    this.#clients.set(id, { listener: kind.name, peer, since: Date.now(), anonymous, counted })
    return undefined
  }

  authenticated(id: number): void {
    const client = this.#clients.get(id)
    if (client?.anonymous !== true) return
    client.anonymous = false
    this.#anonymous--
  }

  /** False if it was gone already. */
  leave(id: number): boolean {
    this.authenticated(id)
    const counted = this.#clients.get(id)?.counted
    if (counted !== undefined) {
      const count = this.#counts.get(counted)! - 1
      if (count > 0) this.#counts.set(counted, count)
      else this.#counts.delete(counted)
    }
    return this.#clients.delete(id)
  }

  #counter(kind: ListenerKind, fd: number, peer: string | undefined): [counted: string | undefined, limit: number] {
    const { maxClientsPerAddress, maxClientsPerUser } = this.limits
    if (kind.transport !== 'unix') {
      const address = peer?.slice(0, peer.lastIndexOf(':'))
      return maxClientsPerAddress > 0 && address !== undefined ? [`address ${address}`, maxClientsPerAddress] : NONE
    }
    if (maxClientsPerUser === 0) return NONE
    const uid = peerCredentials(fd)?.uid
    return uid === undefined ? NONE : [`user ${uid}`, maxClientsPerUser]
  }
}

const NONE: [undefined, number] = [undefined, 0]

/** The soft limit of open files, which Node has raised to the hard one. */
function openFilesLimit(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))
  return line === null ? Infinity : Number(line[1])
}
