import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { takeInventory, type SaslInventory } from './inventory.js'
import { Libsasl, SASL_CONTINUE, SASL_OK, type SaslConnection, type SaslOutput } from './libsasl.js'
import type {
  SaslAnswer,
  SaslIntroduction,
  SaslListeners,
  SaslQuestion,
  SaslReadiness,
  ToSaslThread
} from './messages.js'
import { describeOffer, passwordTrouble } from './offer.js'
import { startRemarks } from './start-remarks.js'

/** `connection` is undefined while the question that makes it waits. */
interface Attempt {
  connection: SaslConnection | undefined
  mechanism: string
}

/** One actor thread's attempts, by their ids. */
interface Client {
  port: MessagePort
  attempts: Map<number, Attempt>
}

/**
 * The one thread that calls libsasl2, because the library must not be called by two at once, and because a call may
 * take as long as a password database, a directory or a KDC takes. Questions are worked off one at a time in the order
 * in which they came; those of clients who have left meanwhile are dropped.
 */
class SaslThread {
  readonly #sasl: Libsasl
  readonly #inventory: SaslInventory
  readonly #queue: { client: Client; question: SaslQuestion }[] = []
  #scheduled = false

  constructor(sasl: Libsasl, inventory: SaslInventory) {
    this.#sasl = sasl
    this.#inventory = inventory
  }

  serve(port: MessagePort): void {
    const client: Client = { port, attempts: new Map() }
    port.on('message', (message: ToSaslThread) => {
      if (message.kind === 'forget') return this.#forget(client, message.id)
      if (message.kind === 'begin') client.attempts.set(message.id, { connection: undefined, mechanism: '' })
      this.#queue.push({ client, question: message })
      this.#schedule()
    })
    // The actor thread has ended, and with it all that could use its connections.
    port.on('close', () => {
      for (const id of [...client.attempts.keys()]) this.#forget(client, id)
    })
  }

  #forget(client: Client, id: number): void {
    const connection = client.attempts.get(id)?.connection
    client.attempts.delete(id)
    if (connection !== undefined) this.#sasl.dispose(connection)
  }

  /** Between two questions the loop turns, so that farewells that came during a long one are heard. */
  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      const { client, question } = this.#queue.shift()!
      client.port.postMessage(this.#answer(client, question))
      this.#schedule()
    })
  }

  #answer(client: Client, question: SaslQuestion): SaslAnswer {
    const { id } = question
    const attempt = client.attempts.get(id)
    if (attempt === undefined) return { id, failed: 'no such attempt' }
    try {
      if (question.kind === 'begin') {
        const connection = this.#sasl.create(question.parameters)
        attempt.connection = connection
        const offered = this.#sasl.mechanisms(connection)
        if (offered.length === 0) return { id, failed: describeOffer(this.#inventory, [], question.parameters).text }
        return { id, mechanisms: offered.join(',') }
      }
      const connection = attempt.connection!
      const { data } = question
      if (question.kind === 'start') attempt.mechanism = question.mechanism
      const output =
        question.kind === 'start'
          ? this.#sasl.start(connection, question.mechanism, data)
          : this.#sasl.step(connection, data)
      return this.#outcome(id, connection, attempt.mechanism, output)
    } catch (error) {
      return { id, failed: (error as Error).message }
    }
  }

  #outcome(id: number, connection: SaslConnection, mechanism: string, { code, data }: SaslOutput): SaslAnswer {
    const sasl = this.#sasl
    if (code === SASL_CONTINUE) return { id, data, success: undefined }
    if (code !== SASL_OK) {
      const trouble = passwordTrouble(this.#inventory, [mechanism])
      const why = `SASL code ${code}: ${sasl.errorDetail(connection)}`
      return { id, failed: trouble === undefined ? why : `${why}; ${trouble}` }
    }
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
  try {
    const sasl = new Libsasl()
    sasl.initialise()
    const inventory = takeInventory()
    const thread = new SaslThread(sasl, inventory)
    parent.on('message', ({ port }: SaslIntroduction) => thread.serve(port))
    say({ ready: true, remarks: startRemarks(sasl, inventory, workerData as SaslListeners) })
  } catch (error) {
    say({ ready: false, why: (error as Error).message })
  }
}

if (parentPort !== null) main(parentPort)
