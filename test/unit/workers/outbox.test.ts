import { expect } from 'chai'
import { Outbox } from '#workers/actor/outbox.js'
import type { ServedRecord } from '#workers/thread/client-record.js'
import type { FromActor } from '#workers/thread/control.js'
import { NO_DRIVER } from '#workers/thread/metric-families.js'
import { waitFor } from '../../support/waiting.js'

const client = (id: number): ServedRecord => ({
  id, since: 0, listener: { name: 'tcp', transport: 'tcp', readonly: false, auth: 'none' }, peer: undefined, via: undefined, identity: {},
  state: 'serving', driver: NO_DRIVER, opened: undefined
})

describe('what a thread tells its supervisor', () => {
  let posted: FromActor[]
  let outbox: Outbox
  beforeEach(() => {
    posted = []
    outbox = new Outbox(news => posted.push(news), () => [])
  })
  const told = (): unknown[] => posted.flat().map(news => (news.kind === 'client' ? [news.id, news.state, news.opened] : news.kind))

  it('goes in one message, in the order of its kinds, a client\'s changes once', async () => {
    const [one, two] = [client(1), client(2)]
    outbox.tell({ kind: 'kept', id: 1 })
    outbox.changed(one)
    outbox.step({ kind: 'peer', id: 2, peer: '192.0.2.1:1' })
    one.state = 'closing'
    outbox.changed(one)
    outbox.changed(two)
    outbox.forget(two)
    await waitFor('the message', () => posted.length > 0)
    expect(told()).to.deep.equal(['peer', [1, 'closing', undefined], 'kept'])
    expect(posted).to.have.length(1)
  })

  it('has what a client has opened a while later, and not of one that has gone by then', async () => {
    const [stays, goes] = [client(1), client(2)]
    for (const one of [stays, goes]) {
      one.opened = 'test:///default'
      outbox.opened(one)
    }
    outbox.tell({ kind: 'kept', id: 3 })
    outbox.forget(goes)
    await waitFor('both messages', () => posted.length === 2)
    expect(told()).to.deep.equal(['kept', [1, 'serving', 'test:///default']])
  })
})
