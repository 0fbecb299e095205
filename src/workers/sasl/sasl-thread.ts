import { parentPort, type MessagePort } from 'node:worker_threads'
import { Libsasl, SASL_CONTINUE, SASL_OK, type SaslConnection, type SaslOutput } from './libsasl.js'
import type { SaslAnswer, SaslIntroduction, SaslQuestion, SaslReadiness, ToSaslThread } from './messages.js'

/** One actor thread's attempts, by their ids; undefined while the question that makes the connection waits. */
interface Desk {
  port: MessagePort
  attempts: Map<number, SaslConnection | undefined>
}

/**
 * The one thread that calls libsasl2, because the library must not be called by two at once, and because a call may
 * take as long as a password database, a directory or a KDC takes. Questions are worked off one at a time in the order
 * in which they came; those of clients who have left meanwhile are dropped.
 */
class SaslThread {
  readonly #sasl: Libsasl
  readonly #queue: { desk: Desk; question: SaslQuestion }[] = []
  #scheduled = false

  constructor(sasl: Libsasl) {
    this.#sasl = sasl
  }

  serve(port: MessagePort): void {
    const desk: Desk = { port, attempts: new Map() }
    port.on('message', (message: ToSaslThread) => {
      if (message.kind === 'forget') return this.#forget(desk, message.id)
      if (message.kind === 'begin') desk.attempts.set(message.id, undefined)
      this.#queue.push({ desk, question: message })
      this.#schedule()
    })
    // The actor thread has ended, and with it all that could use its connections.
    port.on('close', () => {
      for (const id of [...desk.attempts.keys()]) this.#forget(desk, id)
    })
  }

  #forget(desk: Desk, id: number): void {
    const connection = desk.attempts.get(id)
    desk.attempts.delete(id)
    if (connection !== undefined) this.#sasl.dispose(connection)
  }

  /** Between two questions the loop turns, so that farewells that came during a long one are heard. */
  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      const { desk, question } = this.#queue.shift()!
      desk.port.postMessage(this.#answer(desk, question))
      this.#schedule()
    })
  }

  #answer(desk: Desk, question: SaslQuestion): SaslAnswer {
    const { id } = question
    if (!desk.attempts.has(id)) return { id, failed: 'no such attempt' }
    try {
      if (question.kind === 'begin') {
        const connection = this.#sasl.create(question.parameters)
        desk.attempts.set(id, connection)
        return { id, mechanisms: this.#sasl.mechanisms(connection) }
      }
      const connection = desk.attempts.get(id)!
      const { data } = question
      const output =
        question.kind === 'start'
          ? this.#sasl.start(connection, question.mechanism, data)
          : this.#sasl.step(connection, data)
      return this.#outcome(id, connection, output)
    } catch (error) {
      return { id, failed: (error as Error).message }
    }
  }

  #outcome(id: number, connection: SaslConnection, { code, data }: SaslOutput): SaslAnswer {
    const sasl = this.#sasl
    if (code === SASL_CONTINUE) return { id, data, success: undefined }
    if (code !== SASL_OK) return { id, failed: `SASL code ${code}: ${sasl.errorDetail(connection)}` }
    const success = {
      userName: sasl.userName(connection),
      strength: sasl.strength(connection),
      maxOutput: sasl.maxOutput(connection),
      connection
    }
    return { id, data, success }
  }
}

function main(parent: MessagePort): void {
  const say = (readiness: SaslReadiness): void => parent.postMessage(readiness)
  let thread: SaslThread
  try {
    const sasl = new Libsasl()
    sasl.initialise()
    thread = new SaslThread(sasl)
  } catch (error) {
    return say({ ready: false, why: (error as Error).message })
  }
  parent.on('message', ({ port }: SaslIntroduction) => thread.serve(port))
  say({ ready: true })
}

if (parentPort !== null) main(parentPort)
