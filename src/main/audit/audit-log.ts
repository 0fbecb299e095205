import { SOURCE } from '../../workers/base/log.js'
import { lostLine } from '../../workers/observe/audit-record.js'
import { MOST_UNCONFIRMED_BYTES } from '../../workers/observe/audit-trail.js'
import type { AuditProduct } from '../../workers/thread/audit.js'
import { AuditWindow, bytesOf } from '../../workers/thread/audit-window.js'
import type { Counters } from '../../workers/thread/counters.js'
import { FAMILIES } from '../../workers/thread/metric-families.js'
import type { Logger } from '../log/logger.js'
import { within } from '../threads/within.js'
import type { AuditSink } from './sink.js'

/** While a sink takes nothing it is tried again after so long: first, and at most. */
const FIRST_PAUSE_MS = 1
const LONGEST_PAUSE_MS = 250
/** A sink that has taken nothing for so long fails. */
const PATIENCE_MS = 1000
const LOOK_MS = 250
/** How long the end waits for what is not written. */
const END_MS = 3000

/** Who is told that records cannot be written. */
export type AuditLogger = Pick<Logger, 'log' | 'info'>

/** What came at once, and of it what is not done with. */
interface Batch {
  readonly lines: readonly string[]
  at: number
  readonly from: AuditWindow
}

/**
 * The records of all threads and of the supervisor, on their way into a sink. Nobody waits for it: each thread may have so
 * many bytes here and no more, and so may the supervisor. What is lost is counted, and told by a record when there is room.
 */
export class AuditLog {
  readonly #sink: AuditSink
  /** Its place among AUDIT_SINKS. */
  readonly #kind: number
  readonly #logger: AuditLogger
  readonly #counters: Counters
  #windows: ReadonlySet<AuditWindow>
  /** The supervisor's own. */
  readonly #own = new AuditWindow()
  #ownUnconfirmed = 0
  #batches: Batch[] = []
  #pumping: Promise<void> | undefined
  #wake: (() => void) | undefined
  #pause = FIRST_PAUSE_MS
  /** Since when nothing has been taken that was to be written. */
  #waitsSince: number | undefined
  #failing = false
  #why = ''
  #lost = 0
  #lostSince = 0
  #toldAt = 0
  #closed = false
  readonly #looking: NodeJS.Timeout

  /** `windows`: of the threads that there are, which others change. `kind`: the place of the sink among AUDIT_SINKS. */
  constructor(
    sink: AuditSink, kind: number, readonly product: AuditProduct, windows: ReadonlySet<AuditWindow>,
    logger: AuditLogger, counters: Counters
  ) {
    this.#sink = sink
    this.#kind = kind
    this.#windows = windows
    this.#logger = logger
    this.#counters = counters
    sink.troubled = why => logger.log('audit-failing', SOURCE.daemon, `records of the audit may be lost: ${why}`)
    this.#looking = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  get failing(): boolean {
    return this.#failing
  }

  /** Lines of a thread. */
  take(lines: readonly string[], from: AuditWindow): void {
    this.countLost(from)
    this.#batches.push({ lines, at: 0, from })
    this.#goOn()
  }

  /** A line of the supervisor's own. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line) + 1
    if (this.#ownUnconfirmed + bytes > MOST_UNCONFIRMED_BYTES) return this.#own.drop()
    this.#ownUnconfirmed += bytes
    this.take([line], this.#own)
  }

  async reopen(): Promise<void> {
    const why = await this.#sink.reopen()
    if (why === undefined) this.#logger.info(SOURCE.daemon, 'audit opened anew')
    else this.#logger.log('audit-not-reopened', SOURCE.daemon, `audit not opened anew: ${why}`)
    this.#wake?.()
  }

  /** Writes what there is, for a while. What threads have for it from now on is another's. */
  async close(): Promise<void> {
    clearInterval(this.#looking)
    this.#windows = new Set()
    const done = this.#pumping === undefined || (await within(END_MS, this.#pumping))
    this.#closed = true
    this.#wake?.()
    const closed = this.#sink.close()
    let left = 0
    for (const { lines, at, from } of this.#batches.splice(0)) {
      left += lines.length - at
      from.confirm(bytesOf(lines, at, lines.length))
    }
    this.#counters.add(FAMILIES.auditDropped, left, this.#kind)
    const lost = this.#lost + left
    const text = `${lost} records of the audit are lost: there was no time left to write them`
    if (lost > 0) this.#logger.log('audit-failing', SOURCE.daemon, text)
    if (done) await within(END_MS, closed)
  }

  /** Not before that is noted. */
  #goOn(): void {
    this.#pumping ??= Promise.resolve().then(() => this.#pump())
  }

  async #pump(): Promise<void> {
    this.#waitsSince = performance.now()
    while (!this.#closed) {
      if (this.#mayTellLost) this.#tellLost()
      const [batch] = this.#batches
      if (batch === undefined) break
      const { lines, error } = await this.#sink.write(batch.lines.slice(batch.at))
      if (this.#closed) break
      if (lines > 0) this.#done(batch, lines)
      else {
        this.#why = error ?? 'nobody takes them'
        if (error !== undefined) this.#fail()
        await this.#rest()
      }
    }
    this.#waitsSince = undefined
    this.#pumping = undefined
  }

  /** So many lines more are done with. */
  #done(batch: Batch, lines: number): void {
    const { at, from } = batch
    const bytes = bytesOf(batch.lines, at, at + lines)
    batch.at += lines
    if (batch.at === batch.lines.length) this.#batches.shift()
    if (from === this.#own) this.#ownUnconfirmed -= bytes
    from.confirm(bytes)
    this.#counters.add(FAMILIES.auditRecords, lines, this.#kind)
    this.#pause = FIRST_PAUSE_MS
    this.#waitsSince = performance.now()
    if (this.#failing) this.#recover()
  }

  /** Until it is tried again. */
  #rest(): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, this.#pause)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#pause = Math.min(LONGEST_PAUSE_MS, 2 * this.#pause)
    })
  }

  #look(): void {
    this.countLost(this.#own)
    for (const window of this.#windows) this.countLost(window)
    if (this.#waitsSince !== undefined && performance.now() - this.#waitsSince > PATIENCE_MS) this.#fail()
    else if (this.#lost > 0) this.#goOn()
  }

  /** What its thread has lost. */
  countLost(window: AuditWindow): void {
    const lost = window.takeDropped()
    if (lost === 0) return
    if (this.#lost === 0) this.#lostSince = Date.now()
    this.#lost += lost
    this.#counters.add(FAMILIES.auditDropped, lost, this.#kind)
  }

  /** What was lost is told when there is nothing else to write, and else now and then. */
  get #mayTellLost(): boolean {
    if (this.#lost === 0) return false
    return this.#batches.length === 0 || (!this.#failing && performance.now() > this.#toldAt + PATIENCE_MS)
  }

  #tellLost(): void {
    const line = lostLine(this.product, this.#lost, this.#lostSince)
    this.#lost = 0
    this.#toldAt = performance.now()
    this.#ownUnconfirmed += Buffer.byteLength(line) + 1
    // Behind what may be half written.
    this.#batches.splice(1, 0, { lines: [line], at: 0, from: this.#own })
  }

  #fail(): void {
    if (this.#failing) return
    this.#failing = true
    for (const window of this.#windows) window.failing = true
    const why = this.#why === '' ? 'a write does not come back' : this.#why
    this.#logger.log('audit-failing', SOURCE.daemon, `records of the audit cannot be written: ${why}`)
  }

  #recover(): void {
    this.#failing = false
    this.#why = ''
    for (const window of this.#windows) window.failing = false
    this.#logger.info(SOURCE.daemon, 'records of the audit are written again')
  }
}
