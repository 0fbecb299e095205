import { expect } from 'chai'
import fc from 'fast-check'
import { clientTable, type ListedClient } from '#main/page/client-rows.js'
import { first } from '#main/page/first.js'
import { clientQuery, MOST_ROWS, SORTED_BY } from '#main/page/query.js'
import type { Activity } from '#main/page/sampler.js'

const QUIET = { calls: 0, inFlight: 0, waiting: 0, oldestMs: 0, bytesIn: 0, bytesOut: 0 }
const TLS = { name: 'tls', transport: 'tls', readonly: false, auth: 'none' } as const
const UNIX = { name: 'main', transport: 'unix', readonly: true, auth: 'polkit' } as const

function client(id: number, more: Partial<ListedClient> = {}): ListedClient {
  return { id, since: 1000 + id, listener: UNIX, peer: undefined, identity: {}, state: 'serving', opened: undefined, thread: 1, ...more }
}

const busy = (calls: number, more: Partial<Activity> = {}): Activity =>
  ({ ...QUIET, perSecond: { calls, in: 10 * calls, out: 100 * calls }, ...more })

describe('the clients of the page', () => {
  const clients = [
    client(1, { identity: { userName: 'root', processId: 42 } }),
    client(2, {
      listener: TLS, peer: '192.0.2.7:50122', identity: { x509DistinguishedName: 'O=Example,CN=Fred' }, opened: 'qemu:///system'
    }),
    client(3, { identity: { saslUserName: 'alice', userName: 'nobody' }, opened: 'test:///default', thread: 2 }),
    client(4, { state: 'arriving' })
  ]
  const activities = new Map<number, Activity>([
    [1, busy(5, { oldestMs: 9 })],
    [2, busy(70, { inFlight: 1, waiting: 2 })],
    [3, { ...QUIET, inFlight: 1, perSecond: undefined }]
  ])
  const sample = { activity: (id: number): Activity | undefined => activities.get(id) }
  const table = (query: Record<string, string>) => clientTable(clients, sample, clientQuery(new URLSearchParams(query)))
  const ids = (query: Record<string, string>): number[] => table(query).rows.map(({ id }) => id)

  it('say who they are, and what they do', () => {
    expect(table({ sort: 'id' }).rows[1]).to.deep.equal({
      id: 2, since: 1002, user: 'O=Example,CN=Fred', address: '192.0.2.7:50122', transport: 'tls', readonly: false,
      driver: 'qemu:///system', state: 'serving', thread: 1, activity: activities.get(2)
    })
    const [one, , three, four] = table({ sort: 'id' }).rows
    expect([one?.user, one?.address, one?.readonly]).to.deep.equal(['root', 'pid 42', true])
    expect(three?.user).to.equal('alice')
    expect([four?.user, four?.address, four?.activity]).to.deep.equal([undefined, undefined, undefined])
  })

  it('come in the order that is asked for, those last of whom it is not known', () => {
    expect(ids({ sort: 'calls', order: 'descending' })).to.deep.equal([2, 1, 3, 4])
    expect(ids({ sort: 'calls' })).to.deep.equal([1, 2, 3, 4])
    expect(ids({ sort: 'inFlight', order: 'descending' })).to.deep.equal([2, 3, 1, 4])
    expect(ids({ sort: 'user' })).to.deep.equal([2, 3, 1, 4])
    expect(ids({ sort: 'user', order: 'descending' })).to.deep.equal([1, 3, 2, 4])
    expect(ids({ sort: 'driver' })).to.deep.equal([2, 3, 1, 4])
    expect(ids({ sort: 'oldest', order: 'descending' })).to.deep.equal([1, 2, 3, 4])
    for (const sort of SORTED_BY) {
      for (const order of ['ascending', 'descending']) expect(ids({ sort, order }), sort).to.have.members([1, 2, 3, 4])
    }
  })

  it('are those with the text that is looked for, in any case', () => {
    expect(table({ sort: 'id', filter: 'FRED' })).to.deep.include({ matching: 1 })
    expect(ids({ sort: 'id', filter: 'unix' })).to.deep.equal([1, 3, 4])
    expect(ids({ sort: 'id', filter: '192.0.2' })).to.deep.equal([2])
    expect(ids({ sort: 'id', filter: 'qemu:///' })).to.deep.equal([2])
    expect(ids({ sort: 'id', filter: 'arriving' })).to.deep.equal([4])
    expect(table({ filter: 'nobody' })).to.deep.equal({ rows: [], matching: 0 })
  })

  it('are no more than are asked for, and never more than 200', () => {
    const crowd = Array.from({ length: 5000 }, (_, i) => client(i + 1))
    const rows = (query: Record<string, string>) => clientTable(crowd, sample, clientQuery(new URLSearchParams(query)))
    const counts = [['7', 7], ['200', 200], ['201', MOST_ROWS], ['1e9', MOST_ROWS], ['-1', 20], ['x', 20], ['0', 0]] as const
    for (const [asked, given] of counts) {
      const { rows: shown, matching } = rows({ rows: asked })
      expect([shown.length, matching], asked).to.deep.equal([given, 5000])
    }
    expect(rows({ sort: 'id', order: 'descending', rows: '2' }).rows.map(({ id }) => id)).to.deep.equal([5000, 4999])
  })

  it('are asked for in few words', () => {
    const odd = clientQuery(new URLSearchParams({ sort: '__proto__', order: 'x', filter: 'F'.repeat(1000) }))
    expect(odd).to.deep.equal({ sort: 'calls', descending: false, filter: 'f'.repeat(64), rows: 20 })
  })
})

describe('the first of many', () => {
  it('are those that sorting puts first', () => {
    const many = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 300 })
    fc.assert(fc.property(many, fc.integer({ min: 0, max: 60 }), (values, count) => {
      const items = values.map((value, at) => ({ value, at }))
      const compare = (one: { value: number; at: number }, other: { value: number; at: number }): number =>
        one.value - other.value || one.at - other.at
      expect(first(items, count, compare)).to.deep.equal([...items].sort(compare).slice(0, count))
    }))
  })
})
