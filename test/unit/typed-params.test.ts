import { expect } from 'chai'
import fc from 'fast-check'
import {
  booleanParam, doubleParam, intParam, llongParam, readParam, readParams, stringParam, uintParam, ullongParam,
  writeParam, writeParams, type TypedParam
} from '#protocol/typed-params.js'
import { XdrError, XdrReader, XdrWriter } from '#protocol/xdr.js'
import { hex } from '../support/hex.js'

function bytesOf(param: TypedParam): Buffer {
  const xdr = new XdrWriter()
  writeParam(xdr, param)
  return xdr.finish()
}

describe('typed parameter', () => {
  const examples: [string, TypedParam, string][] = [
    ['int', intParam('a', -2), '00000001 61000000 00000001 fffffffe'],
    ['unsigned int', uintParam('a', 0xfffffffe), '00000001 61000000 00000002 fffffffe'],
    ['long', llongParam('a', -2), '00000001 61000000 00000003 ffffffff fffffffe'],
    ['unsigned long', ullongParam('a', 2n ** 64n - 1n), '00000001 61000000 00000004 ffffffff ffffffff'],
    ['double', doubleParam('a', 1.5), '00000001 61000000 00000005 3ff80000 00000000'],
    ['boolean', booleanParam('a', true), '00000001 61000000 00000006 00000001'],
    ['string', stringParam('user-name', 'root'), '00000009 75736572 2d6e616d 65000000 00000007 00000004 726f6f74']
  ]
  for (const [kind, param, bytes] of examples) {
    it(`${kind} is written and read`, () => {
      expect(bytesOf(param)).to.deep.equal(hex(bytes))
      expect(readParam(new XdrReader(hex(bytes)))).to.deep.equal(param)
    })
  }

  it('of an unknown type is refused', () => {
    expect(() => readParam(new XdrReader(hex('00000001 61000000 00000008 00000000')))).to.throw(XdrError, 'type 8')
    expect(() => readParam(new XdrReader(hex('00000001 61000000 00000000 00000000')))).to.throw(XdrError, 'type 0')
  })

  it('has a name of at most 79 bytes', () => {
    const longest = intParam('x'.repeat(79), 1)
    expect(readParam(new XdrReader(bytesOf(longest)))).to.deep.equal(longest)
    expect(() => readParam(new XdrReader(bytesOf(intParam('x'.repeat(80), 1))))).to.throw(XdrError)
  })
})

describe('list of typed parameters', () => {
  it('is refused above its limit', () => {
    const list = writeParams(new XdrWriter(), [intParam('a', 1), intParam('b', 2)]).finish()
    expect(readParams(new XdrReader(list), 2)).to.have.length(2)
    expect(() => readParams(new XdrReader(list), 1)).to.throw(XdrError)
  })

  it('survives writing and reading', () => {
    const field = fc.string({ maxLength: 19, unit: 'grapheme-ascii' })
    const word = fc.integer({ min: -0x80000000, max: 0x7fffffff })
    const params = fc.oneof(
      fc.tuple(field, word).map(([name, value]) => intParam(name, value)),
      fc.tuple(field, fc.nat(0xffffffff)).map(([name, value]) => uintParam(name, value)),
      fc.tuple(field, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })).map(([name, v]) => llongParam(name, v)),
      fc.tuple(field, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })).map(([name, value]) => ullongParam(name, value)),
      fc.tuple(field, fc.double()).map(([name, value]) => doubleParam(name, value)),
      fc.tuple(field, fc.boolean()).map(([name, value]) => booleanParam(name, value)),
      fc.tuple(field, fc.string()).map(([name, value]) => stringParam(name, value.replaceAll('\0', '')))
    )
    fc.assert(
      fc.property(fc.array(params), list => {
        const bytes = writeParams(new XdrWriter(), list).finish()
        expect(readParams(new XdrReader(bytes), list.length)).to.deep.equal(list)
      })
    )
  })

  it('made of garbage is an XdrError at worst', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), garbage => {
        try {
          readParams(new XdrReader(Buffer.from(garbage)), 2048)
        } catch (error) {
          expect(error).to.be.instanceOf(XdrError)
        }
      })
    )
  })
})
