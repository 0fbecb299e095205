import { expect } from 'chai'
import { endOf } from '#main/metrics/disconnects.js'
import type { LogKind } from '#workers/base/log-kinds.js'
import { ENDS } from '#workers/thread/metric-families.js'
import { WHY } from '#workers/thread/why.js'

/** What the log is told of clients that go, by what the metrics call it. */
const CASES: Readonly<Record<Exclude<(typeof ENDS)[number], 'thread'>, readonly (readonly [LogKind, string])[]>> = {
  client: [['debug', 'End of file while reading data: Input/output error'], ['info', 'closed by the client']],
  login: [['login-late', 'not authenticated in time'], ['too-many-logins', ''], ['calls-before-login', '']],
  tls: [['tls-handshake-failed', ''], ['tls-connection-failed', ''], ['info', WHY.certificate]],
  silent: [['client-silent', '']],
  stalled: [['client-stalled', '']],
  violation: [['protocol-violation', ''], ['sasl-layer-broken', ''], ['proxy-header-refused', '']],
  resources: [['client-memory', ''], ['client-descriptors', '']],
  driver: [['driver-died', '']],
  displaced: [['info', WHY.makesRoom]],
  administrator: [['info', WHY.administrator]],
  stop: [['debug', WHY.shutdown], ['info', WHY.stops]],
  failure: [['internal-failure', 'internal failure']]
}

describe('why a client has gone', () => {
  it('is told by a word of a closed list', () => {
    for (const [end, cases] of Object.entries(CASES)) {
      for (const [kind, why] of cases) expect(ENDS[endOf(kind, why)], `${kind}: ${why}`).to.equal(end)
    }
    // Of the others nobody tells: their thread has died.
    expect([...Object.keys(CASES), 'thread']).to.have.members([...ENDS])
  })
})
