import { expect } from 'chai'
import fc from 'fast-check'
import { RecordBounds } from '#workers/tls/record-bounds.js'

const record = (length: number): Buffer => {
  const bytes = Buffer.alloc(5 + length, 0x17)
  bytes.writeUInt16BE(length, 3)
  return bytes
}

describe('the bounds of TLS records', () => {
  it('are found in whatever pieces the bytes come', () => {
    const lengths = fc.array(fc.oneof(fc.nat(3), fc.nat(400), fc.constant(0xffff)), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(lengths, fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }), (wanted, sizes) => {
        const stream = Buffer.concat(wanted.map(record))
        const bounds = new RecordBounds()
        const ends: number[] = []
        for (let from = 0, turn = 0; from < stream.length; turn++) {
          const to = Math.min(stream.length, from + sizes[turn % sizes.length]!)
          while (from < to) {
            from = bounds.next(stream, from, to)
            if (bounds.between) ends.push(from)
          }
        }
        let end = 0
        expect(ends).to.deep.equal(wanted.map(length => (end += 5 + length)))
      })
    )
  })

  it('say what is still to come: of the header, and then of the rest', () => {
    const bytes = record(300)
    const bounds = new RecordBounds()
    expect(bounds.wanted).to.equal(5)
    bounds.next(bytes, 0, 2)
    expect([bounds.wanted, bounds.between]).to.deep.equal([3, false])
    bounds.next(bytes, 2, 5)
    expect([bounds.wanted, bounds.between]).to.deep.equal([300, false])
    bounds.next(bytes, 5, 104)
    expect([bounds.wanted, bounds.between]).to.deep.equal([201, false])
    bounds.next(bytes, 104, 305)
    expect([bounds.wanted, bounds.between]).to.deep.equal([5, true])
  })
})
