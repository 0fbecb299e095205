import { endpointText } from '../os/address.js'
import { EAGAIN, errno, MSG_DONTWAIT, MSG_PEEK, recv } from '../os/libc.js'
import { EDGE, PEER_CLOSED, READABLE, type Pollable } from '../os/poller.js'
import type { Counters } from '../thread/counters.js'
import { FAMILIES, REFUSALS, type Refusal } from '../thread/metric-families.js'
import { WHY } from '../thread/why.js'
import type { ThreadIo } from '../transport/thread-io.js'
import type { ArrivalStep, ArrivingClient } from './arriving-client.js'
import type { ProxiedIdentity } from './proxied-identity.js'
import { MAX_PROXY_HEADER, ProxyHeaderError, readProxyHeader, type ProxyHeader } from './proxy-header.js'

/** Reads the header in which a proxy says whose connection it passes on. Not a byte behind it is touched. */
export const proxied =
  (io: ThreadIo, counters: Counters, identity: () => ProxiedIdentity | undefined) =>
    (client: ArrivingClient): ArrivalStep =>
      new HeaderStep(io, client, counters, identity)

class HeaderStep implements ArrivalStep, Pollable {
  readonly #io: ThreadIo
  readonly #client: ArrivingClient
  readonly #counters: Counters
  readonly #identity: () => ProxiedIdentity | undefined
  #slot: number | undefined

  constructor(io: ThreadIo, client: ArrivingClient, counters: Counters, identity: () => ProxiedIdentity | undefined) {
    this.#io = io
    this.#client = client
    this.#counters = counters
    this.#identity = identity
  }

  start(): void {
    try {
      // What stays in the socket until it is all there is not to wake the thread again and again.
      this.#slot = this.#io.poller.add(this.#client.fd, READABLE | PEER_CLOSED | EDGE, this)
    } catch (error) {
      this.#client.close((error as Error).message, 'internal-failure')
    }
  }

  stop(): void {
    if (this.#slot !== undefined) this.#io.poller.remove(this.#slot, this.#client.fd)
    this.#slot = undefined
  }

  ready(events: number): void {
    if (this.#slot === undefined) return
    try {
      if (events & READABLE) this.#read((events & PEER_CLOSED) !== 0)
      else this.#gone()
    } catch (error) {
      if (error instanceof ProxyHeaderError) this.#refuse(error.message)
      else this.#io.failed(this.#client, error)
    }
  }

  /** `last`: nothing more comes. */
  #read(last: boolean): void {
    const { fd } = this.#client
    const { buffer } = this.#io
    const count = recv(fd, buffer.address, MAX_PROXY_HEADER, MSG_PEEK | MSG_DONTWAIT)
    if (count < 0 && errno() === EAGAIN) return
    if (count <= 0) return this.#gone()
    this.#client.heard()
    // Parts of it are kept, and the buffer is everybody's.
    const header = readProxyHeader(Buffer.from(buffer.bytes.subarray(0, count)))
    if (header === undefined) return last ? this.#gone() : undefined
    recv(fd, buffer.address, header.length, MSG_DONTWAIT)
    this.stop()
    this.#pass(header)
  }

  #pass({ source, tls }: ProxyHeader): void {
    const client = this.#client
    if (source !== undefined) client.cameFrom(endpointText(source))
    // Where the client's TLS connection ends here it proves by that who it is, and no byte may come before its handshake.
    const identity = tls !== undefined && client.listener.transport === 'tcp' ? this.#identity() : undefined
    if (identity === undefined) return client.passed({})
    const found = identity.judge(client, tls!)
    if (!('refusal' in found)) return client.passed(found)
    this.#count('tls')
    client.close(`${WHY.certificate}: ${found.refusal}`, 'info')
  }

  #gone(): void {
    this.#client.close('connection closed before its PROXY header was complete', 'info')
  }

  #refuse(why: string): void {
    this.#count('proxy_header')
    this.#client.close(`PROXY header refused: ${why}`, 'proxy-header-refused')
  }

  #count(reason: Refusal): void {
    this.#counters.add(FAMILIES.refusals, 1, REFUSALS.indexOf(reason))
  }
}
