import { expect } from 'chai'
import { BrokerCounters } from '#main/metrics/broker-counters.js'
import { familySource } from '#main/metrics/families.js'
import type { Sample } from '#main/metrics/metric.js'
import { Counters } from '#workers/thread/counters.js'
import { ACCESS, LOG_SUPPRESSED, REFUSALS, TRANSPORTS } from '#workers/thread/metric-families.js'

describe('what the supervisor counts itself', () => {
  let broker: BrokerCounters
  beforeEach(() => (broker = new BrokerCounters()))

  async function told(name: string): Promise<Sample[]> {
    const metrics = await familySource([new Counters()], broker.counters)()
    return metrics.find(metric => metric.name === name)!.samples.filter(({ value }) => value !== 0)
  }

  const listener = (transport: (typeof TRANSPORTS)[number], readonly: boolean) =>
    ({ name: 'x', transport, readonly, auth: 'none' }) as const

  it('is told by the listener', async () => {
    for (const transport of TRANSPORTS) for (const access of ACCESS) broker.connected(listener(transport, access === 'ro'))
    broker.connected(listener('unix', true))
    const expected = TRANSPORTS.flatMap(transport => ACCESS.map(access => (
      { labels: { transport, access }, value: transport === 'unix' && access === 'ro' ? 2 : 1 }
    )))
    expect(await told('client_connections_total')).to.deep.equal(expected)
  })

  it('is told by why a client has gone, and by its thread\'s death', async () => {
    broker.gone(listener('tls', false), 'client-memory', 'x')
    broker.threadDied([listener('unix', false), listener('unix', false)])
    expect(await told('client_disconnects_total')).to.deep.equal([
      { labels: { transport: 'unix', reason: 'thread' }, value: 2 }, { labels: { transport: 'tls', reason: 'resources' }, value: 1 }
    ])
    expect(await told('refusals_total')).to.deep.equal([{ labels: { reason: 'memory' }, value: 1 }])
    expect(await told('actor_restarts_total')).to.deep.equal([{ labels: {}, value: 1 }])
  })

  it('is told by why something was refused, or a line not written', async () => {
    for (const reason of REFUSALS) broker.refused(reason)
    for (const why of LOG_SUPPRESSED) broker.suppressed(why)
    expect((await told('refusals_total')).map(({ labels }) => labels)).to.deep.equal(REFUSALS.map(reason => ({ reason })))
    expect((await told('log_suppressed_total')).map(({ labels }) => labels)).to.deep.equal(LOG_SUPPRESSED.map(reason => ({ reason })))
  })
})
