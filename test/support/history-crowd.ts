import { REMOTE } from '#protocol/procedures.js'
import { FAMILIES } from '#workers/thread/metric-families.js'
import type { Frame } from './frame-socket.js'
import { History } from './history.js'
import { settle } from './memory-session.js'
import { GET_METADATA, getArguments, Metadata, pretended, registersOf, SET_METADATA, setArguments, valueOf } from './metadata.js'
import type { Random } from './random.js'
import type { MemoryGuest, SharedTrial, Upstream } from './shared-trial.js'

const CLIENTS = 60
const IDENTITIES = 5
const DOMAINS = 2
/** Of one client that are not over. */
const MOST_CALLS = 3
/** Calls, and answers, between two looks at what has come of them. */
const AT_A_TIME = 16

interface Operation {
  readonly register: number
  /** Of a write its number, of a read the least that it has to bring. */
  readonly value: number
  readonly writes: boolean
}

interface Member {
  readonly guest: MemoryGuest
  readonly identity: string
  readonly open: Map<number, Operation>
}

/** A call at the daemon. */
interface Running {
  readonly upstream: Upstream
  readonly call: Frame
  /** Undefined: it is still to be carried out. */
  result: Buffer | undefined
}

/** What has happened. */
export interface HistoryReport {
  readonly operations: number
  readonly joined: number
  readonly deaths: number
}

/**
 * Clients of some identities at a pool in memory, who write descriptions of domains and read them back, whoever wrote them. The
 * daemon carries each call out some time after it has come, and answers some time after that, in any order; connections die.
 */
export class HistoryCrowd {
  readonly #history = new History(2 * DOMAINS)
  readonly #registers = registersOf(pretended(DOMAINS))
  readonly #members: Member[] = []
  #running: Running[] = []
  #deaths = 0

  constructor(
    readonly trial: SharedTrial,
    readonly random: Random,
    readonly metadata = new Metadata()
  ) {}

  get report(): HistoryReport {
    return { operations: this.#history.operations, joined: this.trial.counters.get(FAMILIES.joinedCalls), deaths: this.#deaths }
  }

  /** Until so many operations are over. Throws at the first that is wrong. */
  async work(operations: number): Promise<HistoryReport> {
    const { random } = this
    while (this.#members.length < CLIENTS) await this.#join(`user ${this.#members.length % IDENTITIES}`)
    while (this.#history.operations < operations) {
      for (let i = 0; i < AT_A_TIME; i++) await this.#move(random.pick(this.#members))
      this.#hear()
      for (let i = random.integer(0, 2 * AT_A_TIME); i > 0 && this.#running.length > 0; i--) this.#goOn(random.pick(this.#running))
      if (random.chance(0.01)) this.#kill()
      // One turn takes so many frames and no more.
      await settle()
      for (const member of this.#members) this.#judge(member)
    }
    return this.report
  }

  async #join(identity: string): Promise<void> {
    this.#members.push({ guest: await this.trial.open({ saslUserName: identity }), identity, open: new Map() })
  }

  async #move(member: Member): Promise<void> {
    const { guest, open, identity } = member
    if (guest.heard.length > 0) {
      // What has become of its writes nobody knows.
      for (const { writes, register, value } of open.values()) if (writes) this.#history.written(register, value, false)
      this.#members.splice(this.#members.indexOf(member), 1)
      await this.#join(identity)
    } else if (open.size < MOST_CALLS) this.#operate(member, this.random.integer(0, this.#registers.length - 1))
  }

  #operate({ guest, open }: Member, register: number): void {
    const where = this.#registers[register]!
    const writes = this.random.chance(0.15) && !this.#history.isBeingWritten(register)
    const value = writes ? this.#history.write(register) : this.#history.read(register)
    const args = writes ? setArguments(where, value) : getArguments(where)
    open.set(guest.call(writes ? SET_METADATA : GET_METADATA, args), { register, value, writes })
  }

  /** What has come to the daemon since the last time. */
  #hear(): void {
    const { upstreams } = this.trial
    for (let at = upstreams.length - 1; at >= 0; at--) {
      const upstream = upstreams[at]!
      for (const call of upstream.take()) {
        if (call.proc === REMOTE.connectClose) upstream.transport.lose(0)
        else this.#running.push({ upstream, call, result: undefined })
      }
      if (upstream.closed) upstreams.splice(at, 1)
    }
    this.#running = this.#running.filter(({ upstream }) => !upstream.closed)
  }

  #goOn(running: Running): void {
    const { upstream, call, result } = running
    if (result === undefined) running.result = this.metadata.execute(call.proc, call.payload)
    else {
      this.#running.splice(this.#running.indexOf(running), 1)
      if (!upstream.closed) upstream.reply(call, result)
    }
  }

  #kill(): void {
    const alive = this.trial.upstreams.filter(({ closed }) => !closed)
    if (alive.length === 0) return
    this.#deaths++
    this.random.pick(alive).transport.lose(104)
  }

  #judge({ guest, open }: Member): void {
    for (const { serial, payload } of guest.answers()) {
      const { register, value, writes } = open.get(serial)!
      open.delete(serial)
      if (writes) this.#history.written(register, value)
      else this.#history.hasRead(register, value, valueOf(Buffer.from(payload, 'latin1')))
    }
  }
}
