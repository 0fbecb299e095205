import { expect } from 'chai'
import { SessionRecords } from '#main/audit/session-records.js'
import type { ListenerKind } from '#workers/os/listener-kind.js'
import type { ClientRecord } from '#workers/thread/client-record.js'
import { deed, type AuditRecord } from '../../support/audit-lines.js'

const listener: ListenerKind = { name: 'tcp', transport: 'tcp', readonly: false, auth: 'sasl' }

describe('records of sessions', () => {
  let ids = 0
  const client = (): ClientRecord => ({
    id: ++ids, since: Date.now(), listener, peer: '10.0.0.1:99', via: undefined, identity: {}, state: 'authenticating', opened: undefined
  })

  function start(): { records: SessionRecords; told: AuditRecord[] } {
    const told: AuditRecord[] = []
    return { told, records: new SessionRecords({ version: '1', run: 'R' }, line => void told.push(JSON.parse(line) as AuditRecord)) }
  }

  it('are one of a login, however often it is told, and one of its end', () => {
    const { records, told } = start()
    const one = client()
    records.isIn(one)
    records.isIn(one)
    records.ended(one, 'closed by the client')
    expect(told.map(deed)).to.deep.equal(['login done', 'end done'])
    expect(told[1]!.status_detail).to.equal('closed by the client')
  })

  it('are one of each attempt that failed, and of a client that made none', () => {
    const { records, told } = start()
    const one = client()
    records.loginRefused(one, 'wrong')
    records.loginRefused(one, 'wrong again')
    records.ended(one, 'gone')
    records.ended(client(), 'not authenticated in time')
    expect(told.map(({ status_detail }) => status_detail)).to.deep.equal(['wrong', 'wrong again', 'not authenticated in time'])
    for (const record of told) expect(deed(record)).to.equal('login failed')
  })

  it('are few of strangers, however many come, and tell how many there were', () => {
    const { records, told } = start()
    for (let i = 0; i < 1000; i++) records.turnedAway(listener, '10.0.0.1:99', 'no places')
    expect(told).to.have.length(60)
    // Who gets in is told all the same.
    records.isIn(client())
    expect(told).to.have.length(61)
  })
})
