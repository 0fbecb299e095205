import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import type { Broker } from '../support/broker.js'
import { pattern } from '../support/pattern.js'
import { openDescriptors, residentMiB } from '../support/process-state.js'
import { RawClient } from '../support/raw-client.js'
import { waitFor } from '../support/waiting.js'

/** How long anything well-formed may stay unanswered. */
export const PATIENCE_MS = 10_000
/** Growth of the broker, in MiB, that is not a leak: heaps of threads fill up once. */
const GROWTH_MIB = 200

/** A course of hostile deeds, the same for the same seed. */
export interface Campaign {
  readonly seed: number
  /** Whether no more rounds of deeds are wanted, after so many frames. */
  readonly enough: (frames: number) => boolean
}

/** From now on. */
export function after(seconds: number): () => boolean {
  const until = performance.now() + 1000 * seconds
  return () => performance.now() >= until
}

/** What a campaign has done. */
export interface Outcome {
  /** Of the hostile side. */
  frames: number
  report: string
}

export async function connected(where: string | number): Promise<RawClient> {
  const socket: Socket = typeof where === 'string' ? connect({ path: where }) : connect({ host: '127.0.0.1', port: where })
  const client = new RawClient(socket)
  await once(socket, 'connect')
  return client
}

/** A client that behaves, and must be served whatever others do: it notes what went wrong. */
export class Bystander {
  calls = 0
  failure: Error | undefined
  slowestMs = 0
  #over = false
  #done: Promise<void> | undefined

  private constructor(
    readonly client: RawClient,
    readonly name: string
  ) {}

  static async open(where: string | number, name: string): Promise<Bystander> {
    const client = await connected(where)
    const reply = await client.call(REMOTE.connectOpen, encodeOpen({ name, flags: 0 }))
    if (reply.status !== STATUS.ok) throw new Error(`the bystander could not open ${name}`)
    const bystander = new Bystander(client, name)
    bystander.#done = bystander.#run().catch((error: unknown) => void (bystander.failure = error as Error))
    return bystander
  }

  /** Ends it; throws if it was ever not served. */
  async stop(): Promise<void> {
    this.#over = true
    await this.#done
    this.client.destroy()
    if (this.failure !== undefined) throw new Error(`a bystander of ${this.name} suffered`, { cause: this.failure })
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      const payload = pattern(40, this.calls)
      const since = performance.now()
      const serial = this.client.post(REMOTE.domainGetXmlDesc, payload)
      const reply = await this.client.next({ type: MESSAGE.reply, serial }, PATIENCE_MS)
      this.slowestMs = Math.max(this.slowestMs, performance.now() - since)
      if (reply.status !== STATUS.ok || !reply.payload.equals(payload)) throw new Error('a call was answered wrongly')
      this.calls++
      await sleep(5)
    }
  }
}

/** The broker's size before and after: it must come back to what it was. */
export class Footprint {
  readonly #descriptors: number
  readonly #memory: number

  /** `growth`: what is no leak, in MiB. */
  constructor(readonly broker: Broker, readonly growth = GROWTH_MIB) {
    this.#descriptors = openDescriptors(broker.program.pid)
    this.#memory = residentMiB(broker.program.pid)
  }

  get describe(): string {
    const { pid } = this.broker.program
    return `descriptors ${this.#descriptors} -> ${openDescriptors(pid)}, ` +
      `memory ${this.#memory.toFixed(0)} -> ${residentMiB(pid).toFixed(0)} MiB`
  }

  /** Resolves when all descriptors are back. Throws if they do not come back, or if memory has grown. */
  async restored(): Promise<void> {
    const { program } = this.broker
    if (program.ended) throw new Error(`the broker ended: ${program.describe()}`)
    await waitFor('the descriptors of clients that are gone', () => openDescriptors(program.pid) <= this.#descriptors)
      .catch((error: unknown) => { throw new Error(this.describe, { cause: error }) })
    if (residentMiB(program.pid) > this.#memory + this.growth) throw new Error(this.describe)
    if (/unexpected failure|actor thread died/.test(program.stderr)) throw new Error(program.stderr.slice(-4000))
  }

  /** Ends the broker. Throws if it still had clients that were gone long ago, or anything else kept it from ending. */
  async leave(): Promise<void> {
    const { program } = this.broker
    await program.stop()
    const { status } = await program.exited
    if (status !== 0 || /threads still had clients/.test(program.stderr)) throw new Error(program.describe())
  }
}
