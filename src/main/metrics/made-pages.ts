import type { Page } from './page.js'

/** Pages that are made at once, and how many more there may be each second. */
const AT_ONCE = 20
const A_SECOND = 5
/** An older page is given to nobody. */
const KEPT_MS = 1000

/**
 * Pages take some milliseconds of the supervisor's loop, and everybody on this host may ask for them: who asks too often gets
 * one that was made for another.
 */
export class MadePages {
  readonly #make: (openMetrics: boolean) => Promise<Page>
  readonly #now: () => number
  readonly #last = new Map<boolean, { readonly at: number; readonly page: Promise<Page> }>()
  #left = AT_ONCE
  #countedAt: number

  constructor(make: (openMetrics: boolean) => Promise<Page>, now = (): number => performance.now()) {
    this.#make = make
    this.#now = now
    this.#countedAt = now()
  }

  get(openMetrics: boolean): Promise<Page> {
    const now = this.#now()
    this.#left = Math.min(AT_ONCE, this.#left + ((now - this.#countedAt) * A_SECOND) / 1000)
    this.#countedAt = now
    const last = this.#last.get(openMetrics)
    if (last !== undefined && this.#left < 1 && now - last.at < KEPT_MS) return last.page
    this.#left = Math.max(0, this.#left - 1)
    const page = this.#make(openMetrics)
    this.#last.set(openMetrics, { at: now, page })
    return page
  }
}
