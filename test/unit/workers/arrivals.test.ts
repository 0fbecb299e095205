import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'chai'
import { LEGAL, STEPS, type ArrivalState, type Step } from '#workers/arrival/arrival-state.js'
import { Arrivals, type ArrivalsOwner, type Steps } from '#workers/arrival/arrivals.js'
import type { Arrived, ArrivingClient, Found } from '#workers/arrival/arriving-client.js'
import type { Clock, Timer } from '#workers/base/clock.js'
import type { LastHeard } from '#workers/os/last-heard.js'
import type { TransportKind } from '#workers/os/listener-kind.js'
import type { HandOver } from '#workers/thread/client-record.js'
import type { ActorSettings } from '#workers/thread/settings.js'
import type { ThreadIo } from '#workers/transport/thread-io.js'
import type { Transport, TransportHandler } from '#workers/transport/transport.js'

const ALL: readonly Step[] = ['proxy', 'handshake', 'identifying']
const LOGIN_MS = 60_000
const FIRST_FRAME_MS = 10_000
const HEADER_MS = 3000
const HANDLER = {} as TransportHandler

/** A thread in which nothing happens by itself. */
class FakeThread {
  readonly events: string[] = []
  readonly begun: Arrived[] = []
  readonly timers = new Map<Timer, number>()
  /** The steps that are under way, by descriptor. */
  readonly at = new Map<number, { step: Step; client: ArrivingClient }>()
  now = 1000
  onBegin: (arrived: Arrived) => void = () => undefined
  onStart: (step: Step, client: ArrivingClient) => void = () => undefined
  readonly arrivals: Arrivals

  constructor(steps: readonly Step[] = ALL) {
    const say = (what: string): void => void this.events.push(what)
    const clock: Partial<Clock> = {
      set: (timer, ms) => void this.timers.set(timer, ms),
      cancel: timer => void this.timers.delete(timer!)
    }
    Object.defineProperty(clock, 'now', { get: () => this.now })
    const io = {
      owner: 1,
      poller: { add: () => 0 },
      ledger: { adopt: (fd: number) => say(`adopt ${fd}`), close: (fd: number) => say(`close ${fd}`) },
      closer: { closeSocket: (fd: number) => say(`close later ${fd}`) },
      failed: (session: ArrivingClient | undefined, error: unknown) => {
        say(`failed: ${(error as Error).message}`)
        session?.close('internal failure', 'internal-failure')
      }
    }
    const owner: ArrivalsOwner = {
      clock: clock as Clock,
      io: io as unknown as ThreadIo,
      lastHeard: { hear: (fd: number) => say(`heard ${fd}`) } as LastHeard,
      settings: () => ({ loginTimeoutMs: LOGIN_MS, firstFrameTimeoutMs: FIRST_FRAME_MS }) as ActorSettings,
      log: (level, source, message) => say(`${level} ${source}: ${message}`),
      begin: arrived => {
        this.onBegin(arrived)
        say(`begin ${arrived.fd}`)
        this.begun.push(arrived)
        arrived.transport(HANDLER)
      },
      supervisor: {
        ended: (id, why) => say(`ended ${id}: ${why}`),
        cameFrom: (id, peer) => say(`${id} came from ${peer}`),
        countsAs: (id, { transport, auth }) => say(`${id} counts as ${transport}, ${auth}`)
      }
    }
    this.arrivals = new Arrivals(owner, Object.fromEntries(steps.map(step => [step, this.#make(step)])))
  }

  take(fd: number, transport: TransportKind): void {
    this.arrivals.take([handOver(fd, transport)])
  }

  /** What has happened since it was last asked. */
  get news(): string[] {
    return this.events.splice(0)
  }

  /** The deadline that is set. */
  get deadline(): number | undefined {
    return [...this.timers.values()][0]
  }

  expire(): void {
    const [timer] = this.timers.keys()
    this.timers.clear()
    timer!.owner.timeUp(timer!)
  }

  #make(step: Step): NonNullable<Steps[Step]> {
    return client => ({
      start: () => {
        this.events.push(`${step} ${client.fd}`)
        this.at.set(client.fd, { step, client })
        this.onStart(step, client)
      },
      stop: () => void this.events.push(`stop ${step} ${client.fd}`)
    })
  }
}

function handOver(fd: number, transport: TransportKind): HandOver {
  const peer = transport === 'unix' ? undefined : '192.0.2.9:1'
  return { id: 100 + fd, fd, since: 0, listener: { name: transport, transport, readonly: false, auth: 'none' }, peer, via: peer }
}

/** A thread with one client that stands in a state, and what holds that client. */
function clientIn(state: ArrivalState): { thread: FakeThread; client: ArrivingClient } {
  const transport = state === 'identifying' ? 'unix' : 'tls'
  const thread = new FakeThread(state === 'proxy' ? ALL : ['handshake', 'identifying'])
  // Behind so many others it is not looked at in this turn.
  if (state === 'accepted') thread.arrivals.take(Array.from({ length: 16 }, (_, i) => handOver(20 + i, 'tls')))
  thread.take(1, transport)
  const client = thread.at.get(1)?.client
  if (state === 'begun') client!.passed({})
  if (state === 'closed') client!.close('enough', 'info')
  thread.events.splice(0)
  return { thread, client: client! }
}

describe('a client that arrives', () => {
  const steps = (transport: TransportKind, all: readonly Step[]): string[] => {
    const thread = new FakeThread(all)
    thread.onStart = (_, client) => client.passed({})
    thread.take(1, transport)
    return thread.news
  }

  it('goes through the steps of its transport, and begins', () => {
    expect(steps('tcp', ALL)).to.deep.equal(['adopt 1', 'proxy 1', 'begin 1'])
    expect(steps('tls', ALL)).to.deep.equal(['adopt 1', 'proxy 1', 'handshake 1', 'begin 1'])
    expect(steps('unix', ALL)).to.deep.equal(['adopt 1', 'identifying 1', 'begin 1'])
  })

  it('is spared steps for which there is nothing', () => {
    expect(steps('tcp', ['handshake', 'identifying'])).to.deep.equal(['adopt 1', 'begin 1'])
    expect(steps('tls', ['handshake'])).to.deep.equal(['adopt 1', 'handshake 1', 'begin 1'])
    expect(steps('unix', [])).to.deep.equal(['adopt 1', 'begin 1'])
  })

  it('is asked for no header if it came by itself', () => {
    const thread = new FakeThread()
    thread.arrivals.take([{ ...handOver(1, 'tcp'), via: undefined }, { ...handOver(2, 'tls'), via: undefined }])
    expect(thread.news).to.deep.equal(['adopt 1', 'begin 1', 'adopt 2', 'handshake 2'])
  })

  it('is where its proxy says it is', () => {
    const thread = new FakeThread()
    thread.onStart = (_, client) => {
      client.cameFrom('198.51.100.7:4711')
      client.passed({})
    }
    thread.take(1, 'tcp')
    expect(thread.news).to.deep.equal(['adopt 1', 'proxy 1', '101 came from 198.51.100.7:4711', 'begin 1'])
    const { peer, via } = thread.begun[0]!.record
    expect([peer, via]).to.deep.equal(['198.51.100.7:4711', '192.0.2.9:1'])
  })

  it('counts as what its proxy makes it, here and elsewhere', () => {
    const thread = new FakeThread()
    const listener = { ...handOver(1, 'tcp').listener, transport: 'tls', auth: 'sasl' } as const
    thread.onStart = (_, client) => client.passed({ listener })
    thread.take(1, 'tcp')
    expect(thread.news).to.deep.equal(['adopt 1', 'proxy 1', '101 counts as tls, sasl', 'begin 1'])
    expect(thread.begun[0]!.record).to.include({ listener, state: 'authenticating' })
  })

  it('begins with what all steps have found, and what it was handed over with', () => {
    const thread = new FakeThread()
    const found: Record<Step, Found> = {
      proxy: { identity: { userId: 1 } },
      handshake: { identity: { x509DistinguishedName: 'CN=client' } },
      identifying: {}
    }
    thread.onStart = (step, client) => client.passed(found[step])
    thread.take(1, 'tls')
    const [{ record, fd, failure }] = thread.begun as [Arrived]
    expect({ record, fd, failure }).to.deep.equal({
      record: {
        id: 101, since: 0, listener: handOver(1, 'tls').listener, peer: '192.0.2.9:1', via: '192.0.2.9:1',
        identity: found.handshake.identity, state: 'serving', driver: 0, opened: undefined
      },
      fd: 1,
      failure: undefined
    })
  })

  // Each state, and what each event makes of it. An event that a state does not know changes nothing.
  const OUTCOMES: Record<ArrivalState, Record<'passed' | 'closed by its step' | 'closed from outside', string[]>> = {
    accepted: { passed: [], 'closed by its step': [], 'closed from outside': ['adopt 1', 'close 1', 'ended 101: go'] },
    proxy: {
      passed: ['handshake 1'],
      'closed by its step': ['login-late rpc.netserverclient: closed: why', 'stop proxy 1', 'close 1', 'ended 101: why'],
      'closed from outside': ['info rpc.netserverclient: closed: go', 'stop proxy 1', 'close 1', 'ended 101: go']
    },
    handshake: {
      passed: ['begin 1'],
      'closed by its step': ['login-late rpc.nettlscontext: why', 'stop handshake 1', 'close 1', 'ended 101: why'],
      'closed from outside': ['info rpc.nettlscontext: go', 'stop handshake 1', 'close 1', 'ended 101: go']
    },
    identifying: {
      passed: ['begin 1'],
      'closed by its step': ['login-late rpc.netserverclient: closed: why', 'stop identifying 1', 'close later 1', 'ended 101: why'],
      'closed from outside': ['info rpc.netserverclient: closed: go', 'stop identifying 1', 'close later 1', 'ended 101: go']
    },
    begun: { passed: [], 'closed by its step': [], 'closed from outside': [] },
    closed: { passed: [], 'closed by its step': [], 'closed from outside': [] }
  }

  for (const [state, outcomes] of Object.entries(OUTCOMES) as [ArrivalState, (typeof OUTCOMES)[ArrivalState]][]) {
    for (const [event, expected] of Object.entries(outcomes)) {
      if (state === 'accepted' && event !== 'closed from outside') continue
      it(`and is ${state} ${expected.length === 0 ? 'does not care whether it is' : 'can be'} ${event}`, () => {
        const { thread, client } = clientIn(state)
        if (event === 'passed') client.passed({})
        else if (event === 'closed by its step') client.close('why', 'login-late')
        else expect(thread.arrivals.close(101, 'go')).to.equal(expected.length > 0)
        expect(thread.news).to.deep.equal(expected)
      })
    }
  }

  it('can come from each state to its end, and from there nowhere', () => {
    for (const [state, next] of Object.entries(LEGAL)) {
      if (state === 'begun' || state === 'closed') expect(next).to.deep.equal([])
      else expect(next).to.include.members(['begun', 'closed'])
    }
    for (const [transport, all] of Object.entries(STEPS)) {
      const way: readonly ArrivalState[] = ['accepted', ...all, 'begun']
      for (const [i, state] of way.slice(0, -1).entries()) {
        expect(LEGAL[state], transport).to.include.members(way.slice(i + 1))
      }
    }
  })

  describe('has one deadline', () => {
    it('from the moment at which it was taken up', () => {
      const thread = new FakeThread()
      thread.take(1, 'tls')
      expect(thread.deadline).to.equal(HEADER_MS)
      thread.now += 2000
      thread.at.get(1)!.client.passed({})
      expect(thread.deadline).to.equal(FIRST_FRAME_MS - 2000)
      thread.at.get(1)!.client.passed({})
      expect(thread.timers.size).to.equal(0)
    })

    it('that ends it, in words of the step that it is in', () => {
      const words: Record<Step, string> = {
        proxy: 'PROXY header not sent in time',
        handshake: 'TLS handshake not done in time',
        identifying: 'names of user and group not found in time'
      }
      for (const step of ALL) {
        const { thread } = clientIn(step)
        expect(thread.deadline).to.equal({ proxy: HEADER_MS, handshake: FIRST_FRAME_MS, identifying: LOGIN_MS }[step])
        thread.expire()
        expect(thread.news.at(-1)).to.equal(`ended 101: ${words[step]}`)
        expect(thread.arrivals.size).to.equal(0)
      }
    })

    it('and none is left when it has ended', () => {
      for (const step of ALL) {
        const { thread, client } = clientIn(step)
        client.close('why', 'info')
        expect(thread.timers.size).to.equal(0)
      }
    })
  })

  it('ends if a step cannot be made, and leaves nothing behind', () => {
    const thread = new FakeThread()
    thread.onStart = () => {
      throw new Error('no memory')
    }
    thread.take(1, 'unix')
    expect(thread.news).to.deep.equal([
      'adopt 1', 'identifying 1', 'failed: no memory', 'internal-failure rpc.netserverclient: closed: internal failure',
      'stop identifying 1', 'close later 1', 'ended 101: internal failure'
    ])
    expect([thread.timers.size, thread.arrivals.size]).to.deep.equal([0, 0])
  })

  it('ends if its session cannot be made, with what its steps have left', () => {
    const thread = new FakeThread(['handshake'])
    let freed = 0
    thread.onBegin = () => {
      throw new Error('no memory')
    }
    thread.onStart = (_, client) => client.passed({ secured: { transport: () => ({}) as Transport, free: () => freed++ } })
    thread.take(1, 'tls')
    expect(thread.news.slice(2)).to.deep.equal(['failed: no memory', 'close 1', 'ended 101: internal failure'])
    expect(freed).to.equal(1)
  })

  it('ends with its transport if that has been made', () => {
    const thread = new FakeThread(['handshake'])
    let [destroyed, freed] = [0, 0]
    const transport = { destroy: () => destroyed++ } as Partial<Transport> as Transport
    thread.onStart = (_, client) => client.passed({ secured: { transport: () => transport, free: () => freed++ } })
    thread.onBegin = arrived => {
      arrived.transport(HANDLER)
      throw new Error('no memory')
    }
    thread.take(1, 'tls')
    expect(thread.news.slice(2)).to.deep.equal(['failed: no memory', 'ended 101: internal failure'])
    expect([destroyed, freed]).to.deep.equal([1, 0])
  })
})

describe('clients that arrive all at once', () => {
  it('are taken up by sixteen, and the loop turns in between', async () => {
    const thread = new FakeThread()
    thread.arrivals.take(Array.from({ length: 40 }, (_, i) => handOver(i, 'unix')))
    const counts = [thread.at.size]
    while (thread.at.size < 40) {
      await turn()
      counts.push(thread.at.size)
    }
    expect(counts.filter((count, i) => count !== counts[i - 1])).to.deep.equal([16, 32, 40])
  })

  it('are all ended by a stop, those that come later too', async () => {
    const thread = new FakeThread()
    thread.arrivals.take(Array.from({ length: 40 }, (_, i) => handOver(i, 'unix')))
    thread.arrivals.closeAll('shutdown')
    thread.take(40, 'unix')
    expect(thread.arrivals.size).to.equal(0)
    await turn()
    await turn()
    const { news } = thread
    expect(news.filter(line => line.endsWith(': shutdown') && line.startsWith('ended'))).to.have.length(41)
    expect(news.filter(line => line.startsWith('identifying'))).to.have.length(16)
    expect(thread.timers.size).to.equal(0)
  })
})
