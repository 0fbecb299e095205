import type { MessagePort } from 'node:worker_threads'
import type { SaslParameters } from './libsasl.js'
import type { SaslAnswer, SaslQuestion, SaslSuccess, ToSaslThread } from './messages.js'

/** The exchange goes on, or is complete. */
export interface SaslTurn {
  data: Buffer | undefined
  success: SaslSuccess | undefined
}

interface Pending {
  resolve: (answer: SaslAnswer) => void
  reject: (error: Error) => void
}

/** An attempt has failed, for a reason that is for the log only. */
export class SaslRefusal extends Error {}

/** An actor thread's questions to the SASL thread. */
export class SaslThreadClient {
  #port: MessagePort | undefined
  #ids = 0
  readonly #pending = new Map<number, Pending>()

  /** The SASL thread's port; another one when the thread had to be replaced, which ends all attempts. */
  connect(port: MessagePort): void {
    this.#port?.close()
    for (const { reject } of this.#pending.values()) reject(new SaslRefusal('the SASL thread has died'))
    this.#pending.clear()
    this.#port = port
    port.on('message', (answer: SaslAnswer) => {
      const pending = this.#pending.get(answer.id)
      this.#pending.delete(answer.id)
      if ('failed' in answer) pending?.reject(new SaslRefusal(answer.failed))
      else pending?.resolve(answer)
    })
  }

  close(): void {
    this.#port?.close()
  }

  /** Begins an attempt. It must be ended by `SaslAttempt.forget`. */
  attempt(): SaslAttempt {
    return new SaslAttempt(this, ++this.#ids)
  }

  /** Rejects with SaslRefusal. */
  ask(question: SaslQuestion): Promise<SaslAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#port === undefined) return reject(new SaslRefusal('there is no SASL thread'))
      this.#pending.set(question.id, { resolve, reject })
      this.tell(question)
    })
  }

  /** Nothing is heard of the attempt any more. */
  dismiss(id: number): void {
    this.#pending.delete(id)
    this.tell({ kind: 'forget', id })
  }

  private tell(message: ToSaslThread): void {
    this.#port?.postMessage(message)
  }
}

/** One try of one client. Its answers come in the order of the questions; after `forget` none comes. */
export class SaslAttempt {
  /** What the client may choose from. */
  offered: readonly string[] = []

  constructor(
    readonly thread: SaslThreadClient,
    readonly id: number
  ) {}

  /** The list of mechanisms, joined by commas. Rejects with SaslRefusal. */
  async begin(parameters: SaslParameters): Promise<string> {
    const answer = await this.thread.ask({ kind: 'begin', id: this.id, parameters })
    const mechanisms = 'mechanisms' in answer ? answer.mechanisms : ''
    this.offered = mechanisms.split(',')
    return mechanisms
  }

  /** Rejects with SaslRefusal. */
  start(mechanism: string, data: Uint8Array | undefined): Promise<SaslTurn> {
    return this.#turn({ kind: 'start', id: this.id, mechanism, data: copyOf(data) })
  }

  /** Rejects with SaslRefusal. */
  step(data: Uint8Array | undefined): Promise<SaslTurn> {
    return this.#turn({ kind: 'step', id: this.id, data: copyOf(data) })
  }

  forget(): void {
    this.thread.dismiss(this.id)
  }

  async #turn(question: SaslQuestion): Promise<SaslTurn> {
    const answer = await this.thread.ask(question)
    if (!('data' in answer)) throw new SaslRefusal('unexpected answer of the SASL thread')
    const { data, success } = answer
    return { data: data && Buffer.from(data.buffer, data.byteOffset, data.byteLength), success }
  }
}

/** Posting a piece of a buffer would post the whole buffer. */
const copyOf = (data: Uint8Array | undefined): Uint8Array | undefined => data && new Uint8Array(data)
