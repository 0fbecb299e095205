import { MessageChannel, receiveMessageOnPort, type MessagePort, type Worker } from 'node:worker_threads'
import { wrap, type Remote } from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import type { Piscina } from 'piscina'
import type { ActorControl, ActorNews, ActorTask, FromActor, ToActor } from '../../workers/thread/control.js'
import type { HandOver } from '../../workers/thread/client-record.js'
import { Counters } from '../../workers/thread/counters.js'
import { Figures } from '../../workers/thread/figures.js'
import { Pulse } from '../../workers/thread/pulse.js'
import type { Watched } from './hang-watch.js'
import type { Place } from './placement.js'
import type { Leavable } from './thread-slots.js'

/** One actor thread, for as long as it lives: a task of piscina's. Its number, from 1, is never used for another. */
export class ActorThread implements Leavable, Place, Watched {
  readonly number: number
  readonly control: Remote<ActorControl>
  readonly ended: Promise<string>
  /** Handed over, and not reported as ended. */
  clients = 0
  /** As it says itself. */
  busy = false
  stuck = false
  leaving = false
  ending = false
  readonly pulse = new Pulse()
  readonly figures = new Figures()
  readonly counters: Counters
  readonly #since = performance.now()
  /** Why it was ended, if it was. */
  #verdict: string | undefined
  readonly #work: MessagePort
  readonly #news: (news: ActorNews) => void
  readonly #audit: (lines: readonly string[]) => void
  #asked: Promise<Float64Array> | undefined
  /** Sent with the next `flush`. */
  #outbox: ToActor = { handOvers: [], evictions: [] }
  /** Gives it up while it waits for a worker of piscina's. */
  readonly #unstarted = new AbortController()

  constructor(
    pool: Piscina,
    task: Omit<ActorTask, 'work' | 'control' | 'pulse' | 'figures'>,
    { news, audit }: { news: (news: ActorNews) => void; audit: (lines: readonly string[]) => void }
  ) {
    const work = new MessageChannel()
    const control = new MessageChannel()
    this.number = task.number
    this.counters = new Counters(task.counters)
    this.control = wrap<ActorControl>(nodeEndpoint(control.port1))
    this.#work = work.port1
    this.#news = news
    this.#audit = audit
    work.port1.on('message', (news: FromActor) => this.#told(news))
    const whole: ActorTask = { ...task, pulse: this.pulse.shared, figures: this.figures.shared, work: work.port2, control: control.port2 }
    this.ended = this.#run(pool, whole).then(why => {
      // The end of its task comes another way than its last news, and may overtake them.
      for (let last; (last = receiveMessageOnPort(this.#work)) !== undefined;) this.#told(last.message as FromActor)
      this.#work.close()
      return why
    })
  }

  async #run(pool: Piscina, task: ActorTask): Promise<string> {
    const ports = [task.work, task.control, task.names, task.sasl, task.daemons].filter(port => port !== undefined)
    const { signal } = this.#unstarted
    try {
      await pool.run(task, { transferList: ports, signal })
      return 'its task ended'
    } catch (error) {
      // Those that never went to the thread.
      for (const port of ports) port.close()
      if (this.#verdict !== undefined) return this.#verdict
      return signal.aborted ? String(signal.reason) : error instanceof Error ? error.message : String(error)
    }
  }

  /** What its clients are doing. While it has not answered it is not asked again. */
  clientFigures(): Promise<Float64Array> {
    return (this.#asked ??= this.control.clientFigures().finally(() => (this.#asked = undefined)))
  }

  /** There is no worker for it. */
  giveUp(why: string): void {
    this.#unstarted.abort(why)
  }

  get ageMs(): number {
    return performance.now() - this.#since
  }

  /** Resolves when it serves, or with why it has ended. */
  started(): Promise<string | undefined> {
    return Promise.race([this.control.ready().then(() => undefined), this.ended])
  }

  /** With the next `flush`, as evictions. */
  hand(client: HandOver): void {
    this.clients++
    this.#outbox.handOvers.push(client)
  }

  evict(id: number): void {
    this.#outbox.evictions.push(id)
  }

  flush(): void {
    const { handOvers, evictions } = this.#outbox
    if (handOvers.length === 0 && evictions.length === 0) return
    this.#work.postMessage(this.#outbox)
    this.#outbox = { handOvers: [], evictions: [] }
  }

  /** Has it close its clients, and then end. */
  end(): void {
    this.ending = true
    void this.control.shutdown()
  }

  /** Ends it, wherever it is in its program. `workers`: the pool's. */
  terminate(workers: readonly Worker[], why: string): void {
    this.#verdict = why
    void workers.find(({ threadId }) => threadId === this.pulse.thread)?.terminate()
  }

  /** Left to the end of the pool. */
  kill(): void {}

  #told(news: FromActor): void {
    for (const item of news) {
      if (item.kind === 'ended') this.clients--
      if (item.kind === 'busy') this.busy = item.busy
      else if (item.kind === 'audit') this.#audit(item.lines)
      else this.#news(item)
    }
  }
}
