import { expect } from 'chai'
import { rpcError, type RemoteError } from '#protocol/errors.js'
import { HEADER_BYTES, MESSAGE, PROGRAM } from '#protocol/header.js'
import type { EventFrame, Topic } from '#protocol/messages/event-forms.js'
import { readTopic, registrationKind } from '#protocol/messages/event-forms.js'
import { encodeCallbackId, type RegistrationKind } from '#protocol/messages/events.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { SharedRegistrations, type Registrant, type RegistrationCalls } from '#workers/driver/shared-registrations.js'
import { Turns } from '#workers/thread/turns.js'
import { frame } from '../../support/frame-socket.js'
import { settle } from '../../support/memory-session.js'
import { Random } from '../../support/random.js'

const { connectDomainEventCallbackRegisterAny: DOMAINS, connectNetworkEventRegisterAny: NETWORKS } = REMOTE

function topic(event: number, proc: number = DOMAINS, object?: Buffer): Topic {
  const args = new XdrWriter().i32(event).bool(object !== undefined).finish()
  return readTopic(registrationKind(PROGRAM.remote, proc)!, object === undefined ? args : Buffer.concat([args, object]))
}

const domain = (name: string): Buffer => new XdrWriter().string(name).fixed(Buffer.alloc(16, 1)).i32(-1).finish()

interface Asked {
  kind: RegistrationKind
  registers: boolean
  args: Buffer
  answered: (outcome: Buffer | RemoteError) => void
}

/** A daemon that refuses, as real ones do, what a connection has registered for already. */
class Daemon implements RegistrationCalls {
  readonly session = { close: (why: string): void => void this.closed.push(why) }
  readonly closed: string[] = []
  readonly asked: Asked[] = []
  readonly flows: boolean[] = []
  inUse = false
  calls = 0
  /** Keys that are registered, by id. */
  readonly made = new Map<number, string>()
  #next = 0

  call(kind: RegistrationKind, proc: number, args: Buffer, answered: Asked['answered']): void {
    this.calls++
    this.asked.push({ kind, registers: proc === kind.register, args, answered })
  }

  used(yes: boolean): void {
    this.inUse = yes
  }

  flow(open: boolean): void {
    this.flows.push(open)
  }

  /** Carries out the first call that is out. */
  answer(error?: RemoteError): void {
    const { kind, registers, args, answered } = this.asked.shift()!
    if (error !== undefined) return answered(error)
    if (!registers) {
      const id = args.readInt32BE(0)
      expect(this.made.delete(id), `deregistered: ${id}`).to.equal(true)
      return answered(Buffer.alloc(0))
    }
    const { key } = readTopic(kind, args)
    expect([...this.made.values()], 'registered twice').not.to.include(key)
    this.made.set(this.#next, key)
    answered(encodeCallbackId(this.#next++))
  }

  answerAll(): void {
    while (this.asked.length > 0) this.answer()
  }

  idOf({ key }: Topic): number | undefined {
    return [...this.made].find(([, other]) => other === key)?.[0]
  }
}

class Listener implements Registrant {
  since = 0
  readonly heard: string[] = []

  constructor(readonly id = 0) {}

  registered(): void {
    this.heard.push('registered')
  }

  refused(error: RemoteError): void {
    this.heard.push(`refused: ${error.message}`)
  }

  unreachable(error: RemoteError): void {
    this.heard.push(`unreachable: ${error.message}`)
  }

  hear(event: EventFrame): void {
    event.id = this.id
    this.heard.push(event.bytes.toString('latin1', event.from + HEADER_BYTES + 4, event.to))
  }

  lost(error: RemoteError, reason: number): void {
    this.heard.push(`lost: ${error.message}, ${reason}`)
  }

  take(): string[] {
    return this.heard.splice(0)
  }
}

describe('registrations that many have in common', () => {
  let daemon: Daemon
  let shared: SharedRegistrations
  const failures: unknown[] = []
  const turns = new Turns((_, error) => failures.push(error))
  const [life, reboot, nets] = [topic(0), topic(1), topic(0, NETWORKS)]

  beforeEach(() => {
    daemon = new Daemon()
    shared = new SharedRegistrations(daemon, turns)
  })
  afterEach(() => expect(failures).to.deep.equal([]))

  const send = (what: Topic, text: string): void => {
    const proc = what.kind.register === NETWORKS ? REMOTE.networkEventLifecycle : REMOTE.domainEventCallbackLifecycle
    const body = Buffer.concat([encodeCallbackId(daemon.idOf(what) ?? 99), Buffer.from(text)])
    shared.heard(frame({ proc, type: MESSAGE.event }, body), 0)
  }

  it('are asked for once, and each hears of them from the daemon\'s answer on', () => {
    const [a, b, c] = [new Listener(), new Listener(), new Listener()]
    shared.join(life, a)
    shared.join(life, b)
    expect([daemon.calls, daemon.inUse, a.take()]).to.deep.equal([1, true, []])
    daemon.answer()
    expect([a.take(), b.take()]).to.deep.equal([['registered'], ['registered']])
    send(life, 'one')
    shared.join(life, c)
    send(life, 'two')
    expect([a.take(), b.take(), c.take()]).to.deep.equal([['one', 'two'], ['one', 'two'], ['registered', 'two']])
    expect(daemon.calls).to.equal(1)
  })

  it('are told apart by what they are about, ids of two drivers that are the same included', () => {
    const [a, b] = [new Listener(), new Listener()]
    shared.join(life, a)
    daemon.asked.shift()!.answered(encodeCallbackId(3))
    shared.join(nets, b)
    daemon.asked.shift()!.answered(encodeCallbackId(3))
    daemon.made.set(3, life.key)
    send(life, 'domain')
    daemon.made.set(3, nets.key)
    send(nets, 'net')
    expect([a.take(), b.take()]).to.deep.equal([['registered', 'domain'], ['registered', 'net']])
  })

  it('are given up with the last who wants them, and asked for anew after that', () => {
    const [a, b] = [new Listener(), new Listener()]
    for (const one of [a, b]) shared.join(life, one)
    daemon.answer()
    shared.leave(life, a)
    send(life, 'for b')
    expect([daemon.asked.length, a.take(), b.take()]).to.deep.equal([0, ['registered'], ['registered', 'for b']])
    shared.leave(life, b)
    send(life, 'for nobody')
    expect([daemon.asked.length, daemon.inUse, shared.size]).to.deep.equal([1, false, 0])
    shared.join(life, a)
    expect(daemon.asked.map(({ registers }) => registers)).to.deep.equal([false, true])
    daemon.answerAll()
    send(life, 'again')
    expect([a.take(), b.take()]).to.deep.equal([['registered', 'again'], []])
  })

  it('are given up at once when all have left before the daemon has answered', () => {
    const a = new Listener()
    shared.join(life, a)
    shared.leave(life, a)
    expect(daemon.asked).to.have.length(1)
    daemon.answerAll()
    expect([daemon.calls, daemon.made.size, shared.size, daemon.inUse, a.take()]).to.deep.equal([2, 0, 0, false, []])
  })

  it('are given up one at a time, and not at all if somebody comes before it is their turn', () => {
    const a = new Listener()
    const all = [life, reboot, topic(2), topic(3)]
    for (const one of all) shared.join(one, a)
    daemon.answerAll()
    for (const one of all) shared.leave(one, a)
    expect(daemon.asked.map(({ registers }) => registers), 'beside which others are not kept waiting').to.deep.equal([false])
    const b = new Listener()
    a.take()
    shared.join(topic(3), b)
    send(topic(3), 'one')
    daemon.answerAll()
    send(topic(3), 'two')
    expect([daemon.calls, daemon.made.size, a.take(), b.take()]).to.deep.equal([7, 1, [], ['registered', 'one', 'two']])
    expect(daemon.inUse).to.equal(true)
  })

  it('are still wanted by one who comes before the daemon has answered somebody who has left', () => {
    const [a, b] = [new Listener(), new Listener()]
    shared.join(life, a)
    shared.leave(life, a)
    shared.join(life, b)
    daemon.answerAll()
    send(life, 'one')
    expect([daemon.calls, b.take()]).to.deep.equal([1, ['registered', 'one']])
  })

  it('are not made for one who leaves when another hears that it has them', () => {
    const [a, b] = [new Listener(), new Listener()]
    shared.join(life, a)
    shared.join(life, b)
    a.registered = (): void => shared.leave(life, b)
    daemon.answer()
    send(life, 'one')
    expect([a.take(), b.take()]).to.deep.equal([['one'], []])
    shared.leave(life, a)
    daemon.answerAll()
    expect(daemon.made.size).to.equal(0)
  })

  it('are refused to those who have asked for just that, and asked for again for others', () => {
    const [a, b, c] = [new Listener(), new Listener(), new Listener()]
    const [one, other] = [topic(0, DOMAINS, domain('one')), topic(0, DOMAINS, domain('other name'))]
    expect(one.key).to.equal(other.key)
    shared.join(one, a)
    shared.join(one, b)
    shared.join(other, c)
    daemon.answer(rpcError('no'))
    expect([a.take(), b.take(), c.take()]).to.deep.equal([['refused: no'], ['refused: no'], []])
    daemon.answer()
    expect([c.take(), daemon.calls]).to.deep.equal([['registered'], 2])
    shared.join(reboot, a)
    daemon.asked.shift()!.answered(Buffer.alloc(2))
    expect(a.take()).to.deep.equal(['refused: driver daemon sent a reply that cannot be decoded'])
  })

  it('are gone with the daemon, for those too who wait', () => {
    const [a, b] = [new Listener(), new Listener()]
    shared.join(life, a)
    daemon.answer()
    shared.join(reboot, b)
    const [late] = daemon.asked
    shared.lost(rpcError('gone'), 1)
    expect([a.take(), b.take(), shared.size]).to.deep.equal([['registered', 'lost: gone, 1'], ['lost: gone, 1'], 0])
    late!.answered(encodeCallbackId(5))
    for (const one of [a, b]) shared.leave(life, one)
    send(life, 'late')
    expect([a.take(), b.take(), daemon.calls]).to.deep.equal([[], [], 2])
    shared.join(life, a)
    shared.unreachable(rpcError('nobody there'))
    expect(a.take()).to.deep.equal(['unreachable: nobody there'])
  })

  it('bring what is too short, or of no registration, to nobody', () => {
    const a = new Listener()
    shared.join(life, a)
    daemon.answer()
    shared.heard(frame({ proc: REMOTE.domainEventCallbackLifecycle, type: MESSAGE.event }, Buffer.alloc(2)), 0)
    shared.heard(frame({ proc: REMOTE.domainEventLifecycle, type: MESSAGE.event }, Buffer.alloc(40)), 0)
    shared.heard(frame({ prog: 7, proc: 1, type: MESSAGE.event }, Buffer.alloc(40)), 0)
    send(reboot, 'of no registration')
    expect(a.take()).to.deep.equal(['registered'])
  })

  it('bring events for thousands in turns, each in order, none to one who comes or has gone meanwhile', async () => {
    const all = Array.from({ length: 4000 }, (_, i) => new Listener(i))
    for (const one of all) shared.join(life, one)
    daemon.answer()
    const few = new Listener()
    shared.join(reboot, few)
    daemon.answer()
    send(life, 'one')
    send(reboot, 'behind it')
    send(life, 'two')
    expect(all.some(one => one.heard.includes('one')), 'at once').to.equal(false)
    const late = new Listener()
    shared.join(life, late)
    shared.leave(life, all[3999]!)
    send(life, 'three')
    while (few.heard.length < 2 || !all[3998]!.heard.includes('three')) await settle()
    for (const one of all.slice(0, 3999)) expect(one.take()).to.deep.equal(['registered', 'one', 'two', 'three'])
    expect([late.take(), few.take()]).to.deep.equal([['registered', 'three'], ['registered', 'behind it']])
    expect(all[3999]!.take()).to.deep.equal(['registered'])
  })

  it('hold the daemon up while too much waits to be sent', async () => {
    const all = Array.from({ length: 100 }, () => new Listener())
    for (const one of all) shared.join(life, one)
    daemon.answer()
    const text = 'x'.repeat(100_000)
    for (let i = 0; i < 3; i++) send(life, text)
    expect(daemon.flows).to.deep.equal([false])
    while (daemon.flows.length < 2) await settle()
    expect(daemon.flows).to.deep.equal([false, true])
    for (const one of all) expect(one.heard).to.have.length(4)
  })

  it('end with the connection in the middle of what is being sent', async () => {
    const all = Array.from({ length: 100 }, () => new Listener())
    for (const one of all) shared.join(life, one)
    daemon.answer()
    send(life, 'one')
    shared.lost(rpcError('gone'), 1)
    await settle()
    await settle()
    for (const one of all) expect(one.take()).to.deep.equal(['registered', 'lost: gone, 1'])
  })

  it('miss nothing and double nothing, whoever joins and leaves, however late the daemon answers', async () => {
    const random = new Random(24)
    const topics = [life, reboot, nets, topic(2)]
    const nobody = { of: undefined as Topic | undefined, expected: [] as string[] }
    const listeners = Array.from({ length: 60 }, () => ({ ...nobody, who: new Listener() }))
    for (let step = 0; step < 30_000; step++) {
      const one = random.pick(listeners)
      if (random.chance(0.3)) {
        if (one.of !== undefined) shared.leave(one.of, one.who)
        one.of = random.chance(0.6) ? random.pick(topics) : undefined
        one.who = new Listener()
        one.expected = []
        if (one.of !== undefined) shared.join(one.of, one.who)
      } else if (random.chance(0.5)) {
        if (daemon.asked.length > 0) daemon.answer(daemon.asked[0]!.registers && random.chance(0.1) ? rpcError('no') : undefined)
      } else {
        const about = random.pick(topics)
        const hears = listeners.filter(({ of, who }) => of === about && who.heard[0] === 'registered')
        send(about, `${step}`)
        for (const { expected } of hears) expected.push(`${step}`)
      }
      for (const each of listeners) if (each.who.heard[0]?.startsWith('refused') === true) each.of = undefined
      if (step % 50 === 0) await settle()
    }
    await settle()
    for (const { of, who, expected } of listeners) {
      if (of !== undefined && who.heard[0] === 'registered') expect(who.heard.slice(1)).to.deep.equal(expected)
    }
    for (const { of, who } of listeners) if (of !== undefined) shared.leave(of, who)
    daemon.answerAll()
    expect([daemon.made.size, shared.size]).to.deep.equal([0, 0])
  })
})
