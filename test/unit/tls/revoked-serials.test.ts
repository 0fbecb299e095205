import { expect } from 'chai'
import { RevokedSerials } from '#workers/tls/revoked-serials.js'

describe('revoked serial numbers in shared memory', () => {
  const serials = (count: number, step: number): string[] => Array.from({ length: count }, (_, i) => (step * i).toString(16))

  it('are found by issuer and number, and no others', () => {
    const lists = [{ issuer: 'aa', serials: serials(1000, 3) }, { issuer: 'bb', serials: serials(10, 7) }]
    const revoked = new RevokedSerials(RevokedSerials.share(lists))
    expect(revoked.size).to.equal(1010)
    for (const { issuer, serials } of lists) for (const serial of serials) expect(revoked.has(issuer, serial), serial).to.equal(true)
    for (const serial of serials(1000, 3)) expect(revoked.has('aa', `${serial}0ff`), serial).to.equal(false)
    expect(revoked.has('bb', '3')).to.equal(false)
    expect(revoked.has('cc', '0')).to.equal(false)
  })

  it('may be none', () => {
    const revoked = new RevokedSerials(RevokedSerials.share([]))
    expect(revoked.has('aa', '1')).to.equal(false)
  })

  it('take sixteen bytes each', () => {
    expect(RevokedSerials.share([{ issuer: 'aa', serials: serials(100_000, 1) }]).byteLength).to.equal(1_600_000)
  })
})
