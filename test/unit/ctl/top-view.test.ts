import { expect } from 'chai'
import { ratesOf, type Sample } from '#main/ctl/top/sample.js'
import { view, type Seen } from '#main/ctl/top/view.js'
import type { BrokerClient, BrokerStatus } from '#protocol/messages/broker-admin.js'

const STATUS: BrokerStatus = {
  version: '1.0', pid: 7, state: 'serving', since: 0, clients: 300, unauthenticated: 1, adminClients: 1, driverConnections: 4,
  threads: { min: 2, max: 2, serving: 2, idle: 1 },
  perThread: Array.from({ length: 20 }, (_, at) =>
    ({ number: at + 1, clients: 15, driverConnections: 1, busy: at === 0, stuck: at === 1 })
  ),
  accepted: 1000, closed: 700, calls: { ok: 10, error: 1, refused: 1, lost: 0, timeout: 0 }, refused: undefined
}
const client = (id: number): BrokerClient => ({
  id, since: 0, listener: 'tcp', transport: 'tcp', readonly: false, peer: '192.0.2.1:1', pid: undefined, user: '\x1b[2J', state: 'serving',
  driver: 'qemu:///system', thread: 1
})
const sample = (more: Partial<BrokerStatus> = {}, at = 0): Sample => ({
  at,
  status: { ...STATUS, ...more },
  drivers: { drivers: Array.from({ length: 9 }, (_, n) => ({ driver: `test:///${n}`, clients: 1 })), others: { drivers: 40, clients: 40 } },
  clients: Array.from({ length: 250 }, (_, n) => client(n + 1))
})
const SEEN: Seen = { sort: 'id', reverse: false, skipped: 0, paused: false, trouble: undefined }

describe('the view of top', () => {
  it('has as many lines as the screen, the keys last, and nothing that steers a terminal', () => {
    for (let rows = 1; rows < 80; rows++) {
      const lines = view(sample({ refused: '\x1b[31m' }), undefined, { ...SEEN, trouble: rows > 5 ? '\x1b[1m' : undefined }, rows)
      expect(lines).to.have.length(rows)
      expect(lines.at(-1)).to.match(/^q quit/)
      expect(lines.join('')).not.to.match(/\p{Cc}/u)
    }
  })

  it('sums up what is much', () => {
    const lines = view(sample(), undefined, SEEN, 60)
    expect(lines).to.include.members(['... 12 others', '... 44 others'])
    expect(lines[1]).to.equal('clients 300, 1 not logged in (the first 250 are listed)')
    expect(lines.filter(line => /HANGS$|busy$/.test(line))).to.have.length(2)
  })

  it('has the clients in the order that is wanted, from where it is scrolled to', () => {
    const first = (seen: Partial<Seen>): string => {
      const lines = view(sample(), undefined, { ...SEEN, ...seen }, 60)
      return lines[lines.findIndex(line => line.startsWith('ID ')) + 1]!.split(' ')[0]!
    }
    expect(first({})).to.equal('1')
    expect(first({ reverse: true })).to.equal('250')
    expect(first({ skipped: 100 })).to.equal('101')
  })

  it('has the clients that do most first, with what they do', () => {
    const doing = { calls: 12.34, p99Us: 1500, inFlight: 3, waiting: 2, oldestMs: 4000, bytesIn: 1234, bytesOut: 2_000_000 }
    const clients = [client(1), { ...client(2), calls: 1, p99Us: 90_000 }, { ...client(3), ...doing }]
    const rows = (seen: Partial<Seen>): string[] => {
      const lines = view({ ...sample(), clients }, undefined, { ...SEEN, ...seen }, 60)
      const head = lines.findIndex(line => line.startsWith('ID '))
      return lines.slice(head, head + 4)
    }
    const [head, first, second, third] = rows({ sort: 'calls' })
    expect(head).to.match(/USER +CALLS\/S +P99 +INFL +WAIT +OLDEST +IN\/S +OUT\/S +STATE/)
    expect(first).to.match(/^3 .* 12\.3 +1\.50 ms +3 +2 +4\.00 s +1\.23k +2\.00M +serving/)
    expect(second).to.match(/^2 .* 1\.0 +90\.0 ms +- +- /)
    expect(third).to.match(/^1 .* - +- +- +- +- +- +- +serving/)
    expect(rows({ sort: 'p99Us' })[1]).to.match(/^2 /)
    expect(rows({ sort: 'calls', reverse: true })[1]).to.match(/^1 /)
  })

  it('has rates between two looks at one broker', () => {
    const before = sample()
    const now = sample({ accepted: 1030, closed: 720, calls: { ok: 110, error: 11, refused: 1, lost: 0, timeout: 0 } }, 2000)
    expect(ratesOf(now, before)).to.deep.equal({ accepted: 15, closed: 10, calls: 55, failed: 5 })
    expect(view(now, ratesOf(now, before), SEEN, 60)[1]).to.contain('15.0 come and 10.0 go a second')
    expect(ratesOf(sample({ calls: undefined }, 2000), before)).to.include({ calls: undefined, failed: undefined })
    expect(ratesOf(sample({ pid: 8 }, 2000), before)).to.equal(undefined)
    expect(ratesOf(before, undefined)).to.equal(undefined)
  })
})
