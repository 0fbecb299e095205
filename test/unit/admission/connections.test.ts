import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { BoundedLog } from '#main/log/bounded-log.js'
import { ownerOf } from '#main/clients/owner.js'
import { SOURCE } from '#workers/base/log.js'
import { LastHeard } from '#workers/os/last-heard.js'

describe('whose a connection is', () => {
  const tcp = { name: 'tcp', transport: 'tcp', readonly: false, auth: 'sasl' } as const

  for (const [peer, owner] of [
    ['192.0.2.7:1234', 'address 192.0.2.7'],
    ['[2001:db8:0:7::1]:1234', 'address 2001:db8:0:7::/64'],
    ['[2001:db8::9]:99', 'address 2001:db8:0:0::/64'],
    ['[::1]:5', 'address 0:0:0:0::/64'],
    ['[fe80::1%3]:5', 'address fe80:0:0:0::/64']
  ] as const) {
    it(`is ${owner}'s for ${peer}`, () => expect(ownerOf(tcp, -1, peer)).to.equal(owner))
  }

  it('is the same for all addresses of one network of 64 bits', () => {
    expect(ownerOf(tcp, -1, '[2001:db8:1:2:a:b:c:d]:1')).to.equal(ownerOf(tcp, -1, '[2001:db8:1:2::]:2'))
  })
})

describe('when a client was last heard', () => {
  const heard = new LastHeard()
  const other = new LastHeard(heard.shared)

  it('is known in all threads, in tenths of a second, until it is in', async () => {
    expect(other.silence(7)).to.equal(undefined)
    heard.begin(7)
    expect(other.silence(7)).to.deep.equal({ silentMs: 0, hasSpoken: false })
    await sleep(350)
    expect(other.silence(7)!.silentMs).to.be.at.least(200)
    heard.hear(7)
    expect(other.silence(7)).to.deep.equal({ silentMs: 0, hasSpoken: true })
    heard.end(7)
    expect(other.silence(7)).to.equal(undefined)
  })

  it('is now, as long as it waits for the broker', async () => {
    heard.begin(8)
    heard.owe(8)
    await sleep(350)
    expect(other.silence(8)).to.deep.equal({ silentMs: 0, hasSpoken: true })
  })

  it('is not changed from outside for one who is in, or waits', () => {
    heard.begin(9)
    other.hearFor(9)
    expect(heard.silence(9)).to.deep.equal({ silentMs: 0, hasSpoken: true })
    heard.end(9)
    other.hearFor(9)
    expect(heard.silence(9)).to.equal(undefined)
  })
})

describe('a log that strangers can fill', () => {
  it('has a few lines a minute of each topic', () => {
    const lines: string[] = []
    const log = new BoundedLog({ log: (_kind, _source, text) => void lines.push(text) }, SOURCE.server)
    for (let i = 0; i < 9; i++) log.log('client-refused', 'one', 2, () => `one ${i}`)
    log.log('client-refused', 'two', 2, () => 'two')
    expect(lines).to.deep.equal(['one 0', 'one 1', 'two'])
    const later = performance.now() + 61_000
    const now = performance.now.bind(performance)
    performance.now = () => later
    try {
      log.log('client-refused', 'one', 2, () => 'one again')
    } finally {
      performance.now = now
    }
    expect(lines.at(-1)).to.equal('one again (7 more of the kind were not logged)')
  })
})
