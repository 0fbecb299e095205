import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { expect } from 'chai'
import type { ClientState } from '#workers/thread/client-record.js'
import type { FromActor, ToActor } from '#workers/thread/control.js'
import { close, makePipe } from '#workers/os/libc.js'
import { MemoryActor, OWNER } from '../support/memory-actor.js'

const CLIENTS = 100

describe('an actor that is handed many connections at once', () => {
  it('takes up a few in each turn of its loop, and ends all that are left when it is told to stop', async () => {
    const thread = new MemoryActor()
    const { ledger, work } = thread
    /** What each had come to. */
    const ended = new Map<number, ClientState>()
    work.on('message', (news: FromActor) => {
      for (const item of news) if (item.kind === 'ended') ended.set(item.id, item.state)
    })
    const pipes = Array.from({ length: CLIENTS }, makePipe)
    // Nothing comes of the other end, and the peer is not gone either.
    const given = pipes.map(([end]) => end)
    for (const fd of given) ledger.give(fd, OWNER)
    const listener = { name: 'tcp', transport: 'tcp', readonly: false, auth: 'none' } as const
    const handOvers = given.map((fd, id) => ({ id, fd, since: 0, listener, peer: '192.0.2.1:1', via: undefined }))
    work.postMessage({ handOvers, evictions: [] } satisfies ToActor)
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
    await thread.stop()
    if (ended.size < CLIENTS) await once(work, 'close')
    expect(ended.size).to.equal(CLIENTS)
    expect([ended.get(0), ended.get(CLIENTS - 1)]).to.deep.equal(['serving', 'arriving'])
    expect(waiting()).to.equal(0)
    for (const [, other] of pipes) close(other)
  })
})
