import { expect } from 'chai'
import { Admission, type AdmissionLimits, type AdmissionOwner } from '#main/clients/admission.js'
import { BoundedLog } from '#main/log/bounded-log.js'
import { planDescriptors, type DescriptorPlan } from '#main/clients/descriptor-plan.js'
import { SOURCE } from '#workers/base/log.js'
import { LastHeard } from '#workers/os/last-heard.js'
import type { Pollable, Poller } from '#workers/os/poller.js'
import { READABLE } from '#workers/os/poller.js'
import type { ClientRecord, ClientState } from '#workers/thread/client-record.js'
import type { Refusal } from '#workers/thread/metric-families.js'
import type { ClientChange } from '#workers/thread/control.js'
import { waitFor } from '../../support/waiting.js'

const TCP = { name: 'tcp', transport: 'tcp', readonly: false, auth: 'sasl' } as const
const TLS = { name: 'tls', transport: 'tls', readonly: false, auth: 'sasl' } as const
const OPEN = { name: 'open', transport: 'tcp', readonly: false, auth: 'none' } as const
/** No process has descriptors of such numbers. */
const FIRST_FD = 900_000
const plenty = planDescriptors({ limit: Infinity, inUse: 0, listeners: 2, maxClients: 100 })

const LIMITS: AdmissionLimits = {
  maxClients: 100, maxAnonymousClients: 2, maxHandshakes: 2, maxClientsPerAddress: 0, maxClientsPerUser: 0,
  trustedProxies: undefined
}

describe('admission', () => {
  let admission: Admission
  let lastHeard: LastHeard
  let watched: Map<number, Pollable>
  let handed: number[]
  let evicted: number[]
  let reopened: string[]
  let lines: string[]
  let fds: number
  let closed: number[]
  let refused: Refusal[]
  let disconnected: number[]
  /** What the watcher is told, of whom and of what kind he is. */
  let watcher: string[]
  /** Descriptors that their thread has not taken up. */
  let given: Set<number>
  /** How many there are; the last gets all. */
  let threads: number

  function start(more: Partial<AdmissionLimits> = {}, plan: DescriptorPlan = plenty): void {
    lastHeard = new LastHeard()
    watched = new Map()
    ;[handed, evicted, reopened, lines, closed, refused, disconnected, fds] = [[], [], [], [], [], [], [], FIRST_FD]
    ;[given, threads, watcher] = [new Set(), 1, []]
    const tell = (what: string, { id, listener: { transport, auth } }: ClientRecord): void =>
      void watcher.push(`${id} ${what}: ${transport}, ${auth}`)
    const owner: AdmissionOwner = {
      poller: {
        add: (fd: number, _: number, target: Pollable) => (watched.set(fd, target), fd),
        remove: (slot: number) => watched.delete(slot)
      } as unknown as Poller,
      lastHeard,
      log: new BoundedLog({ log: (_kind, _source, text) => void lines.push(text) }, SOURCE.server),
      threads: {
        hand({ id, fd }) {
          if (threads === 0) return undefined
          handed.push(id)
          lastHeard.begin(fd)
          return threads
        },
        isGiven: fd => given.has(fd),
        evict: (_, id) => evicted.push(id),
        flush: () => undefined
      },
      watcher: {
        isIn: client => tell('is in', client),
        loginRefused: client => tell('is refused', client),
        ended: client => tell('has ended', client),
        turnedAway: () => undefined
      },
      closeUnserved: (_, fd) => closed.push(fd),
      mayAcceptAgain: ({ name }) => reopened.push(name),
      refused: reason => refused.push(reason),
      disconnect: ({ id }) => disconnected.push(id),
      idle: () => undefined
    }
    admission = new Admission({ ...LIMITS, ...more }, plan, owner)
  }

  afterEach(() => admission.close())

  /** Returns the descriptor. */
  function come(address: string, kind: typeof TCP | typeof TLS | typeof OPEN = TCP): number {
    const fd = fds++
    if (admission.mayAccept(kind)) admission.accepted(kind, 'here', fd, `${address}:1`)
    return fd
  }
  const speak = (fd: number): void => watched.get(fd)!.ready(READABLE)

  it('gives the place of a silent client to one that waits, at once, whatever becomes of its thread', async () => {
    start()
    for (let i = 0; i < 2; i++) come('192.0.2.1')
    speak(come('192.0.2.2'))
    await waitFor('somebody to be told to go', () => evicted.length > 0)
    expect(evicted).to.deep.equal([1])
    expect(handed).to.deep.equal([1, 2, 3])
    admission.admitted.ended(1, 'gone')
    speak(come('192.0.2.3'))
    await waitFor('the other to be told to go', () => evicted.length > 1)
    expect(evicted).to.deep.equal([1, 2])
    expect(refused).to.deep.equal(['anonymous', 'anonymous'])
    expect(lines.join('\n')).to.match(/a connection of address 192.0.2.1 that is not logged in is closed for another/)
  })

  it('counts a client again that has come in when it was told to go', async () => {
    start({}, { ...plenty, clients: 2, guaranteed: 0 })
    const first = come('192.0.2.1', OPEN)
    come('192.0.2.1', OPEN)
    speak(come('192.0.2.2', OPEN))
    await waitFor('somebody to be told to go', () => evicted.length > 0)
    lastHeard.end(first)
    admission.admitted.kept(1)
    admission.admitted.kept(1)
    come('192.0.2.3', OPEN)
    admission.admitted.ended(2, 'gone')
    await Promise.resolve()
    expect(handed, 'two are in').to.deep.equal([1, 2, 3])
    admission.admitted.ended(1, 'gone')
    await Promise.resolve()
    expect(handed).to.deep.equal([1, 2, 3, 4])
  })

  it('tells clients to go again whose thread has died', async () => {
    start()
    for (let i = 0; i < 2; i++) come('192.0.2.1')
    speak(come('192.0.2.2'))
    await waitFor('somebody to be told to go', () => evicted.length > 0)
    expect(admission.admitted.threadDied(2)).to.equal(0)
    expect(evicted).to.deep.equal([1, 1])
    admission.admitted.ended(1, 'gone')
    expect(admission.admitted.threadDied(2)).to.equal(0)
    expect(evicted).to.deep.equal([1, 1])
  })

  it('gives clients to another thread that their own had not taken up when it died, and gives up the others', () => {
    start({ maxAnonymousClients: 0 })
    const fds = [1, 2, 3].map(() => come('192.0.2.1'))
    threads = 2
    come('192.0.2.1')
    given.add(fds[1]!)
    expect(admission.admitted.threadDied(1)).to.equal(2)
    expect(handed).to.deep.equal([1, 2, 3, 4, 2])
    expect([...admission.clients.of(2)].map(({ id }) => id)).to.deep.equal([2, 4])
    expect(admission.clients.size).to.equal(2)
    expect(closed, 'descriptors are the dead thread\'s').to.deep.equal([])
  })

  it('keeps those for the next thread where there is no other', () => {
    start({ maxAnonymousClients: 0 })
    const fds = [1, 2].map(() => come('192.0.2.1'))
    given.add(fds[1]!)
    threads = 0
    expect(admission.admitted.threadDied(1)).to.equal(1)
    expect(handed).to.deep.equal([1, 2])
    expect(admission.clients.size).to.equal(1)
    threads = 2
    admission.admitted.threadStarted()
    admission.admitted.threadStarted()
    expect(handed).to.deep.equal([1, 2, 2])
    expect([...admission.clients.of(2)].map(({ id }) => id)).to.deep.equal([2])
    expect(closed).to.deep.equal([])
  })

  it('closes connections that there is no thread for', () => {
    start({ maxAnonymousClients: 1 })
    threads = 0
    const fds = [1, 2, 3].map(() => come('192.0.2.1'))
    expect(closed).to.deep.equal(fds)
    expect(admission.clients.size).to.equal(0)
  })

  it('knows of its clients what their threads say, and counts them by it', () => {
    start({ maxAnonymousClients: 1, maxHandshakes: 1 })
    come('192.0.2.1', TLS)
    const record = { identity: { x509DistinguishedName: 'CN=client' }, id: 1, opened: 'test:///default' }
    expect(admission.clients.get(1)).to.include({ state: 'arriving', stage: 'handshake', peer: '192.0.2.1:1', listener: TLS })
    admission.admitted.became({ ...record, state: 'authenticating' })
    expect(admission.clients.get(1)).to.include({ state: 'authenticating', stage: 'login', identity: record.identity })
    admission.admitted.became({ ...record, state: 'serving' })
    admission.admitted.became({ ...record, state: 'closing' })
    expect(admission.clients.get(1)).to.include({ state: 'closing', stage: 'in', opened: 'test:///default' })
    come('192.0.2.1', TLS)
    expect(handed, 'there is room for another').to.deep.equal([1, 2])
  })

  it('counts a client that is closed before it has logged in as one that has not', () => {
    start({ maxAnonymousClients: 1 })
    come('192.0.2.1')
    admission.admitted.became({ id: 1, identity: {}, state: 'authenticating', opened: undefined })
    admission.admitted.became({ id: 1, identity: {}, state: 'closing', opened: undefined })
    expect(admission.clients.get(1)).to.include({ state: 'closing', stage: 'login' })
    come('192.0.2.2')
    expect(handed, 'there is no room for another').to.deep.equal([1])
    admission.admitted.ended(1, 'gone')
  })

  it('counts a handshake as done of which it hears only when its client has gone', () => {
    start({ maxAnonymousClients: 0, maxHandshakes: 1 })
    const done = (): number => [...admission.clients.of(1)][0]!.at.handshakesPerSecond(performance.now())
    come('192.0.2.1', TLS)
    admission.admitted.ended(1, 'gone', 'arriving')
    come('192.0.2.1', TLS)
    expect(done()).to.equal(0)
    admission.admitted.ended(2, 'gone', 'serving')
    come('192.0.2.1', TLS)
    expect(done()).to.equal(1)
  })

  for (const [limit, kind] of [['maxAnonymousClients', TCP], ['maxHandshakes', TLS]] as const) {
    it(`lets in at once who waits when ${limit} becomes larger, and no more when it becomes smaller`, () => {
      start({ [limit]: 1 })
      for (let i = 0; i < 4; i++) come('192.0.2.1', kind)
      expect(handed).to.deep.equal([1])
      admission.apply({ ...LIMITS, [limit]: 3 }, plenty)
      expect(handed).to.deep.equal([1, 2, 3])
      admission.apply({ ...LIMITS, [limit]: 2 }, plenty)
      admission.admitted.ended(1, 'gone', 'authenticating')
      expect(handed).to.deep.equal([1, 2, 3])
      expect(evicted).to.deep.equal([])
    })
  }

  it('counts the connections of an address by the limit as it is', () => {
    start({ maxClientsPerAddress: 1 })
    const count = (): number => {
      handed.length = 0
      for (let i = 0; i < 3; i++) come('192.0.2.1', OPEN)
      return handed.length
    }
    expect(count()).to.equal(1)
    admission.apply({ ...LIMITS, maxClientsPerAddress: 2 }, plenty)
    expect(count()).to.equal(1)
  })

  it('has only so many closed that do not go', async function () {
    this.timeout(30_000)
    start({ maxAnonymousClients: 400 }, { ...plenty, clients: 1000, waiting: 1000 })
    for (let i = 0; i < 400; i++) come('192.0.2.1')
    for (let i = 0; i < 400; i++) speak(come(`198.51.100.${i % 250}`))
    await waitFor('room for many', () => evicted.length >= 256)
    await new Promise(resolve => setTimeout(resolve, 300))
    expect(evicted.length).to.equal(256)
    admission.admitted.ended(evicted[0]!, 'gone')
    await waitFor('room for one more', () => evicted.length === 257)
  })

  it('takes no more over TCP when as many wait as may, and more when some have gone', async () => {
    start({}, { ...plenty, waiting: 0, waitingGuaranteed: 3 })
    const all = Array.from({ length: 5 }, () => come('192.0.2.1'))
    for (const fd of all.slice(2)) speak(fd)
    expect(admission.mayAccept(TCP)).to.equal(false)
    expect(admission.mayAccept(OPEN)).to.equal(true)
    admission.admitted.ended(1, 'gone')
    await Promise.resolve()
    expect(reopened).to.deep.equal(['tcp'])
    expect(handed).to.deep.equal([1, 2, 3])
  })

  it('counts those that wait for the limit of an address', () => {
    start({ maxClientsPerAddress: 4 })
    for (let i = 0; i < 6; i++) come('192.0.2.1')
    expect([handed.length, watched.size]).to.deep.equal([2, 2])
    expect(lines.join('\n')).to.match(/192.0.2.1:1: refused, address 192.0.2.1 has 4 connections/)
    expect(new Set(refused)).to.deep.equal(new Set(['per_identity']))
    come('192.0.2.2')
    expect(watched.size).to.equal(3)
  })

  describe('of clients that come through proxies', () => {
    const proxied = (limits: Partial<AdmissionLimits> = {}): void => start({ trustedProxies: ['10.0.0.0/8', '2001:db8::5'], ...limits })

    it('lets nobody in but trusted proxies', () => {
      proxied({ maxAnonymousClients: 100 })
      for (const address of ['10.1.2.3', '[2001:db8::5]']) come(address)
      const strangers = ['11.1.2.3', '[2001:db8::6]', '[::ffff:11.0.0.1]'].map(address => come(address))
      expect(handed).to.deep.equal([1, 2])
      expect(closed).to.deep.equal(strangers)
      expect(refused).to.deep.equal(['proxy_header', 'proxy_header', 'proxy_header'])
      expect(lines.join('\n')).to.match(/^11.1.2.3:1: refused, it is none of the proxies that may come \(proxy_trusted\)$/m)
    })

    it('counts them where they are, once that is known', () => {
      proxied({ maxClientsPerAddress: 2, maxAnonymousClients: 100, maxHandshakes: 0 })
      for (let i = 0; i < 5; i++) come('10.1.2.3')
      expect(handed).to.deep.equal([1, 2, 3, 4, 5])
      for (const id of [1, 2, 3]) admission.cameFrom(id, `198.51.100.7:${id}`)
      admission.cameFrom(4, '198.51.100.8:4')
      expect(disconnected).to.deep.equal([3])
      expect(refused).to.deep.equal(['per_identity'])
      expect(lines.join('\n')).to.match(/198.51.100.7:3: refused, address 198.51.100.7 has 2 connections/)
      expect(admission.clients.get(1)).to.include({ peer: '198.51.100.7:1', via: '10.1.2.3:1' })
      expect(admission.clients.ownerOf(admission.clients.get(4)!)).to.equal('address 198.51.100.8')
      for (const id of [1, 3]) admission.admitted.ended(id, 'gone')
      admission.cameFrom(5, '198.51.100.7:5')
      expect(disconnected).to.deep.equal([3])
    })

    it('has as many as may be in their handshakes until their proxy has told of them', () => {
      proxied({ maxHandshakes: 2, maxAnonymousClients: 100 })
      for (let i = 0; i < 4; i++) come('10.1.2.3')
      expect([handed.length, watched.size]).to.deep.equal([2, 2])
    })

    describe('where their TLS connections end', () => {
      const identity = { x509DistinguishedName: 'CN=ann' }
      const state = (state: ClientState): ClientChange => ({ id: 1, state, identity, opened: undefined })

      it('has them log in as that listener says, and counts them until they have', () => {
        proxied({ maxAnonymousClients: 1 })
        come('10.1.2.3', OPEN)
        admission.admitted.countsAs(1, { ...OPEN, transport: 'tls', auth: 'sasl' })
        admission.admitted.became(state('authenticating'))
        expect(admission.clients.get(1)).to.include({ stage: 'login' })
        expect(admission.clients.unauthenticated).to.equal(1)
        come('10.1.2.3', OPEN)
        expect([handed, watched.size, watcher], 'nobody is in').to.deep.equal([[1], 1, []])
        admission.admitted.became(state('serving'))
        expect(watcher).to.deep.equal(['1 is in: tls, sasl'])
        expect(admission.clients.unauthenticated).to.equal(0)
      })

      it('lets in those who need not log in there', () => {
        proxied()
        come('10.1.2.3')
        admission.admitted.countsAs(1, { ...TCP, transport: 'tls', auth: 'none' })
        admission.admitted.became(state('serving'))
        admission.admitted.ended(1, 'gone')
        expect(watcher).to.deep.equal(['1 is in: tls, none', '1 has ended: tls, none'])
        expect(admission.clients.size).to.equal(0)
      })
    })

    it('asks none of those that come by UNIX sockets for a proxy', () => {
      proxied()
      const fd = fds++
      admission.accepted({ name: 'main', transport: 'unix', readonly: false, auth: 'none' }, 'here', fd, undefined)
      expect(admission.clients.get(1)).to.include({ fd, via: undefined, stage: 'in' })
    })
  })

  it('makes room for one that cannot wait because descriptors are short', async () => {
    start({}, { ...plenty, clients: 2, guaranteed: 0, short: true })
    for (let i = 0; i < 2; i++) come('192.0.2.1', OPEN)
    come('192.0.2.2', OPEN)
    expect([handed.length, watched.size]).to.deep.equal([2, 0])
    expect(lines.join('\n')).to.match(/192.0.2.2:1: refused, the process is running out of file descriptors/)
    expect(new Set(refused)).to.deep.equal(new Set(['descriptor']))
    await waitFor('them to be silent for long enough', () => {
      come('192.0.2.2', OPEN)
      return handed.length > 2
    })
    expect(evicted).to.deep.equal([1])
  })
})
