import type { ConnectionPage, ConnectionReport } from '../thread/driver-report.js'
import type { Transport } from '../transport/transport.js'

/** Of a page: a message to the supervisor is to take little of both loops. */
const MOST_REPORTS = 128

/** A connection to a driver daemon, as far as it is counted and told of. */
export interface DriverLink {
  /** What `opened` has said. */
  readonly number: number
  readonly traffic: Pick<Transport, 'pending' | 'bytesIn' | 'bytesOut'>
  /** Undefined while nobody uses it. */
  report(): ConnectionReport | undefined
}

/** The connections to driver daemons that a thread has. */
export class DriverLinks {
  readonly #all = new Set<DriverLink>()
  /** By those that are closed. */
  readonly #moved = { bytesIn: 0, bytesOut: 0 }
  readonly #figures: { driverConnections: number }
  #numbers = 0

  /** `figures`: of the thread. */
  constructor(figures: { driverConnections: number }) {
    this.#figures = figures
  }

  /** Returns its number in the thread. */
  opened(link: DriverLink): number {
    this.#all.add(link)
    this.#figures.driverConnections++
    return ++this.#numbers
  }

  closed(link: DriverLink): void {
    this.#all.delete(link)
    this.#moved.bytesIn += link.traffic.bytesIn
    this.#moved.bytesOut += link.traffic.bytesOut
    this.#figures.driverConnections--
  }

  get moved(): { bytesIn: number; bytesOut: number } {
    const sum = { ...this.#moved }
    for (const { traffic: { bytesIn, bytesOut } } of this.#all) {
      sum.bytesIn += bytesIn
      sum.bytesOut += bytesOut
    }
    return sum
  }

  /** Bytes that the daemons have not taken yet. */
  get queued(): number {
    let bytes = 0
    for (const { traffic: { pending } } of this.#all) bytes += pending
    return bytes
  }

  /** Those in use that were made after the one with that number. */
  reports(after: number): ConnectionPage {
    const connections: ConnectionReport[] = []
    for (const link of this.#all) {
      const report = link.number > after ? link.report() : undefined
      if (report === undefined) continue
      if (connections.length === MOST_REPORTS) return { connections, more: true }
      connections.push(report)
    }
    return { connections, more: false }
  }
}
