import { expect } from 'chai'
import { ListenerPlaces, Places, type Occupant, type Stage } from '#main/clients/places.js'
import { planDescriptors } from '#main/clients/descriptor-plan.js'

const listener = (name: string): ListenerPlaces => new ListenerPlaces({ name, transport: 'unix', readonly: false, auth: 'none' })

describe('places', () => {
  const limits = { clients: 4, guaranteed: 2, logins: 2, handshakes: 3 }
  let places: Places
  const one = listener('one')
  const enter = (at: ListenerPlaces, stage: Stage, rootsOwn = false): Occupant => {
    const occupant = { at, stage, rootsOwn }
    places.enter(occupant)
    return occupant
  }
  beforeEach(() => (places = new Places(limits)))

  it('are limited for all listeners together, but each has some of its own', () => {
    const [first, second] = [listener('first'), listener('second')]
    const all = Array.from({ length: 4 }, () => enter(first, 'in'))
    expect(places.shortage(first)).to.equal('clients')
    expect(places.shortage(second)).to.equal(undefined)
    enter(second, 'in')
    enter(second, 'in')
    expect(places.shortage(second)).to.equal('clients')
    places.leave(all[0]!)
    expect(places.shortage(first), 'six were in, four are allowed').to.equal('clients')
    for (const occupant of all.slice(1, 3)) places.leave(occupant)
    expect(places.shortage(first)).to.equal(undefined)
  })

  it('are limited for each listener while clients log in and shake hands', () => {
    const [first, second] = [listener('first'), listener('second')]
    const login = enter(first, 'login')
    enter(first, 'login')
    expect([first, second].map(at => places.shortage(at))).to.deep.equal(['logins', undefined])
    places.advance(login, 'in')
    expect(places.shortage(first)).to.equal(undefined)
    const roomy = new Places({ ...limits, clients: 100 })
    const tls = listener('tls')
    for (let i = 0; i < 3; i++) roomy.enter({ at: tls, stage: 'handshake', rootsOwn: false })
    expect(roomy.shortage(tls)).to.equal('handshakes')
    expect(new Places({ ...limits, handshakes: 0 }).shortage(tls), '0 is no limit').to.equal(undefined)
  })

  it('are more for handshakes while they get on', () => {
    let now = 10_000
    const tls = listener('tls')
    const quick = new Places({ ...limits, clients: 100 }, () => now)
    const handshakes: Occupant[] = []
    const come = (): void => {
      const one: Occupant = { at: tls, stage: 'handshake', rootsOwn: false }
      quick.enter(one)
      handshakes.push(one)
    }
    const most = (): number => {
      while (quick.shortage(tls) === undefined) come()
      return tls.counts.handshake
    }
    const done = (count: number): void => handshakes.splice(0, count).forEach(one => quick.advance(one, 'in'))
    expect(most()).to.equal(3)
    done(3)
    expect(most(), 'three in a second').to.equal(3)
    now += 500
    done(3)
    expect(most(), 'six in a second').to.equal(6)
    done(6)
    expect(most(), 'twelve').to.equal(12)
    done(12)
    expect(most(), 'four times as many at most').to.equal(12)
    now += 1900
    done(12)
    expect(most()).to.equal(12)
    now += 3000
    done(12)
    expect(most()).to.equal(12)
    now += 3000
    expect(quick.shortage(tls)).to.equal('handshakes')
    for (const one of handshakes.splice(0)) quick.leave(one)
    expect(most(), 'nothing for a while').to.equal(3)
  })

  it('of root count nowhere else, and are free again when there is another', () => {
    const first = listener('first')
    const all = Array.from({ length: 4 }, () => enter(first, 'in'))
    const root = enter(first, 'login', true)
    expect([places.rootsPlaces, first.size]).to.deep.equal([1, 4])
    places.leave(all[0]!)
    expect([places.rootsPlaces, first.size], 'while it logs in').to.deep.equal([1, 3])
    places.advance(root, 'in')
    expect([places.rootsPlaces, first.size]).to.deep.equal([0, 4])
    const other = enter(first, 'in', true)
    places.leave(all[1]!)
    expect([places.rootsPlaces, first.size]).to.deep.equal([0, 4])
    places.leave(other)
    places.leave(root)
    expect(first.size).to.equal(2)
    expect(one.size).to.equal(0)
  })
})

describe('the plan for descriptors', () => {
  const needs = { limit: 1_048_576, inUse: 44, listeners: 3, maxClients: 5000 }
  const spent = (given: Partial<typeof needs>): number => {
    const { limit, inUse, listeners } = { ...needs, ...given }
    const plan = planDescriptors({ ...needs, ...given })
    const clients = plan.clients + (listeners - 1) * plan.guaranteed + plan.root
    const waiting = plan.waiting + listeners * plan.waitingGuaranteed
    expect(plan.firstReserved).to.be.below(limit)
    return inUse + 2 * clients + waiting - plan.firstReserved
  }

  it('has room for max_clients and more where there is plenty', () => {
    expect(planDescriptors(needs)).to.deep.include({
      clients: 5000, guaranteed: 32, root: 16, waiting: 5000, waitingGuaranteed: 64, short: false
    })
    expect(planDescriptors({ ...needs, limit: Infinity }).clients).to.equal(5000)
  })

  it('gives clients what is there where descriptors are few', () => {
    const of = (limit: number): number => {
      const { clients, guaranteed, root, short } = planDescriptors({ ...needs, limit })
      expect(short).to.equal(true)
      return clients + 2 * guaranteed + root
    }
    expect(of(128)).to.equal(37)
    expect(of(100)).to.equal(24)
    expect(of(64)).to.equal(8)
    expect(of(40), 'fewer than are in use').to.equal(0)
  })

  it('never spends more than there are', () => {
    for (let limit = 50; limit < 30_000; limit += 7) {
      for (const more of [{}, { maxClients: 2 }, { maxClients: 0 }, { listeners: 4 }]) {
        expect(spent({ limit, ...more }), `limit ${limit}, ${JSON.stringify(more)}`).to.be.at.most(0)
      }
    }
  })

  it('leaves room to wait where a few clients are allowed', () => {
    expect(planDescriptors({ ...needs, limit: 1024 })).to.deep.include({ waiting: 0, waitingGuaranteed: 29 })
    expect(planDescriptors({ ...needs, limit: 1024, maxClients: 100 })).to.deep.include({ clients: 100, waiting: 100, short: false })
  })
})
