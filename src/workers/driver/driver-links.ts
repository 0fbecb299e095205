/** A connection to a driver daemon, as far as it is counted. */
export interface DriverLink {
  /** Bytes that the daemon has not taken yet. */
  readonly queued: number
}

/** The connections to driver daemons that a thread has. */
export class DriverLinks {
  readonly #all = new Set<DriverLink>()
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
    this.#figures.driverConnections--
  }

  get queued(): number {
    let bytes = 0
    for (const { queued } of this.#all) bytes += queued
    return bytes
  }
}
