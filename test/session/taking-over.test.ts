import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { MessageChannel } from 'node:worker_threads'
import { expect } from 'chai'
import { Actor } from '#workers/actor/actor.js'
import { Counters } from '#workers/thread/counters.js'
import type { ClientState } from '#workers/thread/client-record.js'
import type { FromActor, ToActor } from '#workers/thread/control.js'
import { AuditWindow } from '#workers/thread/audit-window.js'
import { FdLedger } from '#workers/os/fd-ledger.js'
import { LastHeard } from '#workers/os/last-heard.js'
import { close, makePipe } from '#workers/os/libc.js'
import { Figures } from '#workers/thread/figures.js'
import type { ActorSettings } from '#workers/thread/settings.js'

const OWNER = 7
const CLIENTS = 100
const LIMITS = { own: Infinity, foreign: 1024 }

const settings: ActorSettings = {
  logLevel: 'error', keepalive: { intervalMs: 0, count: 0 }, maxClientRequests: 1, driverMaxRequests: 1,
  driverConnectTimeoutMs: 1000, driverOpenTimeoutMs: 1000, loginTimeoutMs: 0, firstFrameTimeoutMs: 0,
  tcpMinSsf: 0, saslAllowedUsers: undefined, policy: [], slowCallMs: 0, shield: false, proxiedTls: undefined,
  auditing: false, auditReads: false, auditFailClosed: false,
  systemBusAddress: '', clientStallTimeoutMs: 0,
  closeTimeoutMs: 0, driverReconnect: false, driverSharing: 'off', driverPoolSize: 4, collapseReads: false,
  driverIdleTimeoutMs: 30_000, driverMaxIdle: 64, driverSocketDir: '/nowhere', driverSockets: [],
  testDriverSocket: undefined, ownSockets: [], uriAliases: [], superuser: { user: 'root', group: 'root' }, place: 'session',
  startsDaemons: false, tls: undefined
}

describe('an actor that is handed many connections at once', () => {
  it('takes up a few in each turn of its loop, and ends all that are left when it is told to stop', async () => {
    const [ledger, lastHeard] = [new FdLedger(), new LastHeard()]
    const [work, names] = [new MessageChannel(), new MessageChannel()]
    const actor = new Actor({
      number: OWNER, settings, ledger: ledger.shared, limits: LIMITS, lastHeard: lastHeard.shared,
      counters: new Counters().shared, metering: false, module: undefined, figures: new Figures().shared,
      audit: { window: new AuditWindow().shared, product: { version: '1', run: 'R' } },
      work: work.port2, names: names.port2, sasl: undefined, daemons: undefined
    })
    /** What each had come to. */
    const ended = new Map<number, ClientState>()
    work.port1.on('message', (news: FromActor) => {
      for (const item of news) if (item.kind === 'ended') ended.set(item.id, item.state)
    })
    const pipes = Array.from({ length: CLIENTS }, makePipe)
    // Nothing comes of the other end, and the peer is not gone either.
    const given = pipes.map(([end]) => end)
    for (const fd of given) ledger.give(fd, OWNER)
    const listener = { name: 'tcp', transport: 'tcp', readonly: false, auth: 'none' } as const
    const handOvers = given.map((fd, id) => ({ id, fd, since: 0, listener, peer: '192.0.2.1:1', via: undefined }))
    work.port1.postMessage({ handOvers, evictions: [] } satisfies ToActor)
    const waiting = (): number => given.filter(fd => ledger.isGiven(fd, OWNER)).length
    let left = CLIENTS
    do {
      await turn()
      const now = waiting()
      // Those of the turn, and perhaps of the one before.
      expect(left - now, 'taken up at once').to.be.at.most(32)
      left = now
    } while (left > CLIENTS / 2)
    expect(left).to.be.above(0)
    actor.shutdown()
    await actor.done
    if (ended.size < CLIENTS) await once(work.port1, 'close')
    expect(ended.size).to.equal(CLIENTS)
    expect([ended.get(0), ended.get(CLIENTS - 1)]).to.deep.equal(['serving', 'arriving'])
    expect(waiting()).to.equal(0)
    for (const [, other] of pipes) close(other)
    names.port1.close()
  })
})
