import { expect } from 'chai'
import { chosen, type WantedClients } from '#main/ctl/commands/clients.js'
import type { BrokerClient } from '#protocol/messages/broker-admin.js'

const client = (id: number, more: Partial<BrokerClient>): BrokerClient => ({
  id, since: 0, listener: 'tcp', transport: 'tcp', readonly: false, peer: undefined, pid: undefined, user: undefined,
  state: 'serving', driver: undefined, thread: 1, ...more
})

const ALL = [
  client(9, { peer: '192.0.2.1:5000', user: 'zoe', driver: 'qemu:///system' }),
  client(10, { listener: 'tls', peer: '[2001:db8::1]:5000', user: 'adam', state: 'closing' }),
  client(100, { listener: 'main', pid: 7, user: 'adam', driver: 'test:///default', thread: 2 })
]

describe('the clients that are shown', () => {
  const ids = (wanted: WantedClients): number[] => chosen(ALL, wanted).map(({ id }) => id)

  it('are those that are wanted', () => {
    expect(ids({})).to.deep.equal([9, 10, 100])
    expect(ids({ user: 'adam' })).to.deep.equal([10, 100])
    expect(ids({ user: 'adam', state: 'serving' })).to.deep.equal([100])
    expect(ids({ listener: 'tls' })).to.deep.equal([10])
    expect(ids({ driver: 'qemu:///system' })).to.deep.equal([9])
    expect(ids({ from: '192.0.2.1' })).to.deep.equal([9])
    expect(ids({ from: '2001:db8::1' })).to.deep.equal([10])
    expect(ids({ from: '192.0.2' })).to.deep.equal([])
  })

  it('come in the order that is wanted', () => {
    expect(ids({ sort: 'id', reverse: true })).to.deep.equal([100, 10, 9])
    expect(ids({ sort: 'user' })).to.deep.equal([10, 100, 9])
    expect(ids({ sort: 'thread', reverse: true })).to.deep.equal([100, 10, 9])
    expect(ids({ sort: 'driver' })).to.deep.equal([10, 9, 100])
  })
})
