import { REMOTE } from '#protocol/procedures.js'
import { settle } from './memory-session.js'
import type { Random } from './random.js'
import type { MemoryGuest, SharedTrial, Upstream } from './shared-trial.js'

const CALL = REMOTE.domainGetInfo
/** Calls of one client that wait, and clients at a time. */
const MOST_WAITING = 4
const CLIENTS = 200
const IDENTITIES = 50
/** Of the calls, those that ask what others of the same identity ask. */
const SAME = 0.3
/** Moves between two looks at what has come of them. */
const AT_A_TIME = 16

interface Member {
  readonly guest: MemoryGuest
  readonly identity: string
  /** What it has asked, by serial, and has not been told. */
  readonly asked: Map<number, string>
}

/** What has happened to a crowd. */
export interface CrowdReport {
  calls: number
  answered: number
  clients: number
  /** Of connections, and of calls with them. */
  deaths: number
  lost: number
  /** Calls that were answered a second time, or for somebody who had gone. */
  twice: number
  toNobody: number
}

/**
 * Clients of many identities at a pool in memory, who come, call and go. The daemon answers each call with the identity
 * that its connection was opened with and the call's own text, but late, out of order, at times twice, and also those of
 * clients that have gone; and connections die. Throws if any client gets what is not the answer to one of its calls.
 */
export class GuestCrowd {
  readonly report: CrowdReport = { calls: 0, answered: 0, clients: 0, deaths: 0, lost: 0, twice: 0, toNobody: 0 }
  readonly #trial: SharedTrial
  readonly #random: Random
  readonly #members: Member[] = []
  /** Calls that the daemon has and has not answered. */
  readonly #out: { upstream: Upstream; reply: () => void }[] = []

  constructor(trial: SharedTrial, random: Random) {
    this.#trial = trial
    this.#random = random
  }

  /** Until so many calls have been made. */
  async call(calls: number): Promise<CrowdReport> {
    while (this.#members.length < CLIENTS) await this.#join()
    while (this.report.calls < calls) {
      for (let i = 0; i < AT_A_TIME; i++) await this.#move()
      this.#hear()
      for (let i = 0; i < AT_A_TIME && this.#out.length > 0; i++) if (this.#random.chance(0.9)) this.#answer()
      if (this.#random.chance(0.02)) this.#kill()
      // One turn takes so many frames and no more.
      await settle()
      for (const member of this.#members) this.#judge(member)
    }
    return this.report
  }

  async #move(): Promise<void> {
    const one = this.#random.pick(this.#members)
    if (one.guest.heard.length > 0) await this.#renew(one)
    else if (this.#random.chance(0.05)) await this.#leave(one)
    else if (one.guest.waiting.length < MOST_WAITING) this.#ask(one)
  }

  async #join(): Promise<void> {
    const identity = `user ${this.#random.integer(1, IDENTITIES)}`
    this.#members.push({ guest: await this.#trial.open({ saslUserName: identity }), identity, asked: new Map() })
    this.report.clients++
  }

  /** Its connection, or the daemon, has gone. */
  async #renew(member: Member): Promise<void> {
    this.report.lost += member.asked.size
    await this.#replace(member)
  }

  async #leave(member: Member): Promise<void> {
    if (member.asked.size > 0) member.guest.port.close()
    else member.guest.port.leave()
    await this.#replace(member)
  }

  async #replace(member: Member): Promise<void> {
    this.#members.splice(this.#members.indexOf(member), 1)
    await this.#join()
  }

  #ask({ guest, asked, identity }: Member): void {
    this.report.calls++
    // What others ask as well may become one with theirs.
    const text = this.#random.chance(SAME) ? `${identity}, as ever` : `${identity}, call ${this.report.calls}`
    const serial = guest.call(CALL, Buffer.from(text, 'latin1'))
    asked.set(serial, text)
  }

  /** What has come to the daemon since the last time. */
  #hear(): void {
    const { upstreams } = this.#trial
    for (let at = upstreams.length - 1; at >= 0; at--) {
      const upstream = upstreams[at]!
      for (const call of upstream.take()) {
        if (call.proc === REMOTE.connectClose) upstream.transport.lose(0)
        else if (call.proc === CALL) {
          const answer = Buffer.concat([Buffer.from(`${upstream.order.identity.saslUserName!}: `, 'latin1'), call.payload])
          this.#out.push({ upstream, reply: () => upstream.reply(call, answer) })
        }
      }
      if (upstream.closed) upstreams.splice(at, 1)
    }
  }

  #answer(): void {
    const { reply, upstream } = this.#out.splice(this.#random.integer(0, this.#out.length - 1), 1)[0]!
    if (upstream.closed) return void this.report.toNobody++
    reply()
    if (!this.#random.chance(0.0005)) return
    this.report.twice++
    reply()
  }

  #kill(): void {
    const alive = this.#trial.upstreams.filter(({ closed }) => !closed)
    if (alive.length === 0) return
    this.report.deaths++
    this.#random.pick(alive).transport.lose(104)
  }

  #judge({ guest, asked, identity }: Member): void {
    for (const { serial, payload } of guest.answers()) {
      const expected = asked.get(serial)
      if (payload !== `${identity}: ${expected}`) {
        throw new Error(`'${payload}' came to ${identity}, which asked '${expected}' under that serial`)
      }
      asked.delete(serial)
      this.report.answered++
    }
  }
}
