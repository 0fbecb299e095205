import { PackedFigures, type ClientFigures } from '../../workers/thread/client-figures.js'
import { within } from '../threads/within.js'

/** Whoever asks sooner gets the same. */
const KEPT_MS = 900
/** What is older says nothing of now. */
const OLD_MS = 10_000
const ANSWER_MS = 500

/** A thread that is asked what its clients do. */
export interface AskedThread {
  readonly stuck: boolean
  clientFigures(): Promise<Float64Array>
}

/** What a client does now, with what it has done each second since the sample before. */
export interface Activity extends ClientFigures {
  /** Undefined where there is no sample before, or it was not there yet. */
  readonly perSecond: { readonly calls: number; readonly in: number; readonly out: number } | undefined
}

interface Taken {
  readonly at: number
  readonly figures: PackedFigures
}

export interface Sample {
  activity(id: number): Activity | undefined
}

/** Asks the threads what their clients do, at most once a second for all who look. Nothing is asked, or kept, when nobody looks. */
export class Sampler {
  readonly #threads: () => readonly AskedThread[]
  #before: Taken | undefined
  #last: Taken | undefined
  #taking: Promise<Taken> | undefined
  #forget: NodeJS.Timeout | undefined

  constructor(threads: () => readonly AskedThread[]) {
    this.#threads = threads
  }

  async sample(): Promise<Sample> {
    const now = performance.now()
    const last = this.#last !== undefined && now - this.#last.at < KEPT_MS ? this.#last : await (this.#taking ??= this.#take())
    const before = this.#before
    return { activity: id => activity(id, last, before) }
  }

  async #take(): Promise<Taken> {
    const tables: Float64Array[] = []
    const asked = this.#threads().filter(({ stuck }) => !stuck).map(thread =>
      thread.clientFigures().then(table => void tables.push(table), () => undefined)
    )
    await within(ANSWER_MS, Promise.all(asked))
    const taken = { at: performance.now(), figures: new PackedFigures([...tables]) }
    this.#before = this.#last
    this.#last = taken
    this.#taking = undefined
    clearTimeout(this.#forget)
    this.#forget = setTimeout(() => (this.#before = this.#last = undefined), OLD_MS).unref()
    return taken
  }
}

function activity(id: number, { at, figures }: Taken, before: Taken | undefined): Activity | undefined {
  const now = figures.get(id)
  if (now === undefined) return undefined
  const then = before?.figures.get(id)
  if (before === undefined || then === undefined) return { ...now, perSecond: undefined }
  const rate = (more: number): number => (1000 * more) / (at - before.at)
  return {
    ...now,
    perSecond: { calls: rate(now.calls - then.calls), in: rate(now.bytesIn - then.bytesIn), out: rate(now.bytesOut - then.bytesOut) }
  }
}
