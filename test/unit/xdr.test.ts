import { expect } from 'chai'
import fc from 'fast-check'
import { MAX_STRING_BYTES, XdrError, XdrReader, XdrWriter } from '#protocol/xdr.js'
import { hex } from '../support/hex.js'

const written = (fill: (xdr: XdrWriter) => unknown): Buffer => {
  const xdr = new XdrWriter(1) // grows at once
  fill(xdr)
  return xdr.finish()
}

describe('XDR integers', () => {
  it('are big-endian, four or eight bytes', () => {
    const bytes = written(xdr => xdr.i32(-2).u32(0xfffffffe).i64(-2n).u64(2n).f64(1.5))
    expect(bytes).to.deep.equal(hex('fffffffe fffffffe fffffffffffffffe 0000000000000002 3ff8000000000000'))
    const xdr = new XdrReader(bytes)
    expect([xdr.i32(), xdr.u32(), xdr.i64(), xdr.u64(), xdr.f64()]).to.deep.equal([-2, 0xfffffffe, -2n, 2n, 1.5])
    expect(xdr.left).to.equal(0)
  })
})

describe('XDR strings', () => {
  it('are counted and padded with zeros', () => {
    expect(written(xdr => xdr.string('test'))).to.deep.equal(hex('00000004 74657374'))
    expect(written(xdr => xdr.string('test:///default'))).to.deep.equal(
      hex('0000000f 74657374 3a2f2f2f 64656661 756c7400')
    )
    expect(written(xdr => xdr.string(''))).to.deep.equal(hex('00000000'))
  })

  it('count bytes, not characters', () => {
    expect(written(xdr => xdr.string('é'))).to.deep.equal(hex('00000002 c3a90000'))
    expect(new XdrReader(hex('00000002 c3a90000')).string()).to.equal('é')
  })

  it('end at a NUL, take any padding, and need not be UTF-8', () => {
    expect(new XdrReader(hex('00000004 61006200')).string()).to.equal('a')
    expect(new XdrReader(hex('00000001 61ffffff')).string()).to.equal('a')
    expect(new XdrReader(hex('00000001 ff000000')).string()).to.equal('\ufffd')
  })

  it('have a limit, which is checked before the bytes are there', () => {
    expect(() => new XdrReader(written(xdr => xdr.u32(MAX_STRING_BYTES + 1))).string()).to.throw(XdrError, 'at most')
    expect(() => new XdrReader(written(xdr => xdr.u32(MAX_STRING_BYTES))).string()).to.throw(XdrError, 'left')
    expect(() => new XdrReader(hex('00000005 61616161 61000000')).string(4)).to.throw(XdrError, 'at most 4')
  })

  it('must have their padding', () => {
    expect(() => new XdrReader(hex('00000001 61')).string()).to.throw(XdrError)
  })
})

describe('other XDR items', () => {
  it('optional: a marker, then perhaps the item; any marker but zero means present', () => {
    expect(written(xdr => xdr.optional('a', (x, text) => void x.string(text)))).to.deep.equal(
      hex('00000001 00000001 61000000')
    )
    expect(written(xdr => xdr.optional(undefined, () => undefined))).to.deep.equal(hex('00000000'))
    expect(new XdrReader(hex('00000007 00000005')).optional(x => x.i32())).to.equal(5)
    expect(new XdrReader(hex('00000000')).optional(x => x.i32())).to.equal(undefined)
  })

  it('array: a count, then the items, never more than allowed', () => {
    const bytes = written(xdr => xdr.array([1, 2], (x, value) => void x.i32(value)))
    expect(bytes).to.deep.equal(hex('00000002 00000001 00000002'))
    expect(new XdrReader(bytes).array(2, x => x.i32())).to.deep.equal([1, 2])
    expect(() => new XdrReader(bytes).array(1, x => x.i32())).to.throw(XdrError)
    expect(() => new XdrReader(hex('7fffffff')).array(0x7fffffff, x => x.i32())).to.throw(XdrError)
  })

  it('opaque: counted bytes', () => {
    const bytes = written(xdr => xdr.opaque(Buffer.of(1, 2, 3)))
    expect(bytes).to.deep.equal(hex('00000003 01020300'))
    expect(new XdrReader(bytes).opaque(3)).to.deep.equal(Buffer.of(1, 2, 3))
    expect(() => new XdrReader(bytes).opaque(2)).to.throw(XdrError)
  })

  it('uuid: sixteen bytes without a count', () => {
    const uuid = hex('6695eb01 f6a48304 79aa97f2 502e193f')
    expect(written(xdr => xdr.fixed(uuid))).to.deep.equal(uuid)
    expect(new XdrReader(uuid).uuid()).to.deep.equal(uuid)
  })

  it('chars: four bytes for each', () => {
    const bytes = hex('00000002 00000061 ffffffc3')
    expect(written(xdr => xdr.chars(Buffer.of(0x61, 0xc3)))).to.deep.equal(bytes)
    expect(new XdrReader(bytes).chars(2)).to.deep.equal(Buffer.of(0x61, 0xc3))
    expect(() => new XdrReader(bytes).chars(1)).to.throw(XdrError)
    expect(() => new XdrReader(hex('00000002 00000061 0000')).chars(2)).to.throw(XdrError)
  })

  it('what was taken is a copy', () => {
    const bytes = hex('00000004 01020304')
    const taken = new XdrReader(bytes).opaque(4)
    bytes.fill(0)
    expect(taken).to.deep.equal(Buffer.of(1, 2, 3, 4))
  })
})

describe('XDR reader over part of a buffer', () => {
  it('never looks outside of it', () => {
    const xdr = new XdrReader(hex('00000001 00000002 00000003'), 4, 8)
    expect(xdr.left).to.equal(4)
    expect(xdr.i32()).to.equal(2)
    expect(() => xdr.i32()).to.throw(XdrError)
    expect(() => new XdrReader(hex('00000008 6161616161616161'), 0, 8).string()).to.throw(XdrError)
  })
})

describe('XDR in general', () => {
  const bytes = fc.uint8Array({ maxLength: 40 }).map(array => Buffer.from(array))
  const text = fc.string({ unit: 'grapheme' }).map(string => string.replaceAll('\0', ''))

  it('reads back what it wrote, in whole words', () => {
    const items = fc.tuple(fc.maxSafeInteger(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.double(), text, bytes)
    fc.assert(
      fc.property(items, fc.array(text), fc.option(bytes, { nil: undefined }), (item, list, maybe) => {
        const [integer, large, real, string, raw] = item
        const out = written(xdr =>
          xdr.i32(integer).u64(large).f64(real).string(string).opaque(raw).chars(raw)
            .array(list, (x, value) => void x.string(value))
            .optional(maybe, (x, value) => void x.opaque(value))
        )
        expect(out.length % 4).to.equal(0)
        const xdr = new XdrReader(out)
        expect(xdr.i32()).to.equal(integer | 0)
        expect(xdr.u64()).to.equal(large)
        expect(xdr.f64()).to.deep.equal(real)
        expect(xdr.string()).to.equal(string)
        expect(xdr.opaque(40)).to.deep.equal(raw)
        expect(xdr.chars(40)).to.deep.equal(raw)
        expect(xdr.array(list.length, x => x.string())).to.deep.equal(list)
        expect(xdr.optional(x => x.opaque(40))).to.deep.equal(maybe)
        expect(xdr.left).to.equal(0)
      })
    )
  })

  it('throws nothing but XdrError at garbage', () => {
    const readers: ((xdr: XdrReader) => unknown)[] = [
      xdr => xdr.i32(),
      xdr => xdr.u64(),
      xdr => xdr.f64(),
      xdr => xdr.string(),
      xdr => xdr.opaque(1000),
      xdr => xdr.uuid(),
      xdr => xdr.chars(1000),
      xdr => xdr.array(1000, x => x.optional(y => y.string(8)))
    ]
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...readers)), fc.uint8Array({ maxLength: 200 }), (steps, garbage) => {
        const xdr = new XdrReader(Buffer.from(garbage))
        try {
          for (const step of steps) step(xdr)
        } catch (error) {
          expect(error).to.be.instanceOf(XdrError)
        }
      })
    )
  })
})
