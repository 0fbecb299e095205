import { expect } from 'chai'
import { closedPageOf, driversOf, pageOf } from '#main/admin/client-lists.js'
import { ClosedClients } from '#main/clients/closed-clients.js'
import type { Summarised } from '#main/clients/summary.js'
import { openedName } from '#workers/thread/client-record.js'

const LISTENER = { name: 'tcp', transport: 'tcp', readonly: false, auth: 'sasl' } as const

/** A client whose every text is as long as it can be, and as long as can be in JSON. */
const longest = (id: number): Summarised => ({
  id,
  since: 0,
  listener: LISTENER,
  peer: undefined,
  identity: { x509DistinguishedName: '\x01'.repeat(100_000) },
  state: 'serving',
  opened: openedName('\x01'.repeat(100_000)),
  thread: 1
})

describe('the list of clients', () => {
  it('comes in pages that are not too long, and that miss nobody', () => {
    const all = Array.from({ length: 500 }, (_, at) => longest(2 * at + 1))
    const seen: number[] = []
    let pages = 0
    for (let more = true; more; pages++) {
      const page = pageOf(all, seen.at(-1) ?? 0)
      expect(JSON.stringify(page)).to.have.length.within(1, 140_000)
      seen.push(...page.clients.map(({ id }) => id))
      more = page.more
    }
    expect(seen).to.deep.equal(all.map(({ id }) => id))
    expect(pages).to.be.within(10, 20)
  })

  it('is empty behind the last', () => expect(pageOf([longest(1)], 1)).to.deep.equal({ clients: [], more: false }))
})

describe('the list of closed clients', () => {
  it('has the last thousand, in the order in which they went, in pages that are not too long', () => {
    const closed = new ClosedClients()
    for (let id = 2500; id > 0; id--) closed.add(longest(id), 'x'.repeat(10_000))
    const seen: ReturnType<typeof closedPageOf>['clients'] = []
    for (let more = true; more;) {
      const page = closedPageOf(closed, seen.at(-1)?.number ?? 0)
      expect(JSON.stringify(page)).to.have.length.within(1, 140_000)
      seen.push(...page.clients)
      more = page.more
    }
    expect(seen.map(({ id }) => id)).to.deep.equal(Array.from({ length: 1000 }, (_, at) => 1000 - at))
    expect(seen[0]).to.include({ number: 1501, reason: 'x'.repeat(256), state: 'serving', listener: 'tcp' })
  })

  it('is empty when nobody has gone', () => {
    expect(closedPageOf(new ClosedClients(), 0)).to.deep.equal({ clients: [], more: false })
  })
})

describe('the list of drivers', () => {
  it('has those first that most clients have opened, and sums up what is beyond 256', () => {
    const clients = Array.from({ length: 300 }, (_, at) => ({ opened: `test:///${at}` }))
    const list = driversOf([...clients, { opened: 'test:///299' }, { opened: undefined }])
    expect(list.drivers[0]).to.deep.equal({ driver: 'test:///299', clients: 2 })
    expect(list.drivers).to.have.length(256)
    expect(list.others).to.deep.equal({ drivers: 44, clients: 44 })
  })

  it('has neither queries nor long names', () => {
    expect(openedName('qemu:///system?socket=/x#y')).to.equal('qemu:///system')
    expect(openedName(`test:///${'x'.repeat(1000)}?q`)).to.equal(`test:///${'x'.repeat(248)}`)
    expect(openedName('')).to.equal('')
  })
})
