import type { Transport } from '../transport/transport.js'

/** A connection to a driver daemon, as far as it is counted. */
export type DriverLink = Pick<Transport, 'pending' | 'bytesIn' | 'bytesOut'>

/** The connections to driver daemons that a thread has. */
export class DriverLinks {
  readonly #all = new Set<DriverLink>()
  /** By those that are closed. */
  readonly #moved = { bytesIn: 0, bytesOut: 0 }
  readonly #figures: { driverConnections: number }

  /** `figures`: of the thread. */
  constructor(figures: { driverConnections: number }) {
    this.#figures = figures
  }

  opened(link: DriverLink): void {
    this.#all.add(link)
    this.#figures.driverConnections++
  }

  closed(link: DriverLink): void {
    this.#all.delete(link)
    this.#moved.bytesIn += link.bytesIn
    this.#moved.bytesOut += link.bytesOut
    this.#figures.driverConnections--
  }

  get moved(): { bytesIn: number; bytesOut: number } {
    const sum = { ...this.#moved }
    for (const { bytesIn, bytesOut } of this.#all) {
      sum.bytesIn += bytesIn
      sum.bytesOut += bytesOut
    }
    return sum
  }

  /** Bytes that the daemons have not taken yet. */
  get queued(): number {
    let bytes = 0
    for (const { pending } of this.#all) bytes += pending
    return bytes
  }
}
