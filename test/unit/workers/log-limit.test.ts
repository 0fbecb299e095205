import { expect } from 'chai'
import { Clock } from '#workers/base/clock.js'
import { SOURCE } from '#workers/base/log.js'
import { LogLimit } from '#workers/base/log-limit.js'

describe('a bounded log', () => {
  let clock: Clock
  let lines: string[]
  let limit: LogLimit
  beforeEach(() => {
    clock = new Clock((_session, error) => { throw error })
    lines = []
    limit = new LogLimit(clock, (kind, source, message) => lines.push(`${kind} ${source}: ${message}`), 3)
  })
  afterEach(() => clock.stop())

  it('has a few lines of each kind, whatever numbers and names are in them', () => {
    for (let i = 0; i < 50; i++) {
      limit.write('protocol-violation', SOURCE.client, `client ${i}: closed: frame length ${7 * i} is not legal`)
      limit.write('tls-client-refused', SOURCE.tls, `client ${i} at 10.0.0.${i}:${1000 + i}: refused (CN=${'x'.repeat(i)})`)
      limit.write('tls-client-refused', SOURCE.tls, `user '${'y'.repeat(i)}' is not welcome`)
    }
    expect(lines).to.have.length(9)
  })

  it('says at the end of the minute how many were left out, and what of', () => {
    for (let i = 0; i < 10; i++) limit.write('protocol-violation', SOURCE.client, `client ${i}: garbage`)
    limit.timeUp()
    const left = 'protocol-violation rpc.netserverclient: 7 more lines of this kind were left out: client 9: garbage'
    expect(lines.slice(3)).to.deep.equal([left])
    limit.write('protocol-violation', SOURCE.client, 'client 11: garbage')
    expect(lines.at(-1)).to.equal('protocol-violation rpc.netserverclient: client 11: garbage')
    limit.timeUp()
    expect(lines).to.have.length(5)
  })

  it('does not grow with kinds that peers think of', () => {
    for (let i = 0; i < 5000; i++) limit.write('protocol-violation', SOURCE.client, `${String.fromCharCode(0x4e00 + i)} is no kind`)
    expect(lines).to.have.length(64 + 3)
    limit.close()
    expect(lines.at(-1)).to.match(/^protocol-violation rpc.netserverclient: 4933 more lines/)
  })

  it('says what was left out when it ends', () => {
    for (let i = 0; i < 5; i++) limit.write('protocol-violation', SOURCE.client, 'refused', undefined, 'policy')
    limit.close()
    expect(lines.at(-1)).to.match(/: 2 more lines/)
  })
})
