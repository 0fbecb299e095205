import { expect } from 'chai'
import { printable, printableJson } from '#main/ctl/printable.js'
import { table } from '#main/ctl/table.js'

/** Escape sequences, of 7 and 8 bits, line breaks of all kinds, directions of writing, half of a character. */
const STEERING = ['\x1b[2J', '\x9b2J', '\r', '\n', '\x7f', '\x00', '\u2028', '\u2029', '\u202e', '\u2066', '\u200b', '\ufeff', '\ud800']

describe('what a terminal is shown', () => {
  it('cannot steer it', () => {
    for (const steering of STEERING) {
      const name = `a${steering}b`
      for (const text of [printable(name), table(['N'], [[name]]).slice(2), printableJson(name)]) {
        expect(text, JSON.stringify(name)).not.to.match(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
      }
    }
  })

  it('says in JSON what it was', () => {
    const value = { names: STEERING, plain: 'Zoë Ångström 日本 😀 "quoted" \\ é ~', none: null, list: [1, { a: true }] }
    expect(JSON.parse(printableJson(value))).to.deep.equal(value)
    expect(printableJson(value)).to.contain('Zoë Ångström 日本 😀')
  })

  it('has columns as wide as they need to be', () => {
    expect(table(['A', 'NAME'], [[1, 'x'], [1000, undefined]])).to.equal('A     NAME\n1     x\n1000  -')
  })
})
