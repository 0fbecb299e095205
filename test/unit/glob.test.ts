import { expect } from 'chai'
import fc from 'fast-check'
import { compileGlob } from '#protocol/glob.js'

describe('glob patterns of libvirt', () => {
  const rows: [string, string, boolean][] = [
    ['', '', true],
    ['', 'x', false],
    ['abc', 'abc', true],
    ['abc', 'abcd', false],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['f??d', 'fred', true],
    ['?', 'ä', true],
    ['?', '😀', true],
    ['*', '', true],
    ['**', 'anything', true],
    ['*CN=client1', 'C=GB,CN=client1', true],
    ['CN=client1*', 'C=GB,CN=client1', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['a*a', 'a', false],
    ['*aab*', 'aaab', true],
    ['*a?b*', 'a-a.b', true],
    ['CN=client[12]', 'CN=client1', false],
    ['a\\*', 'a\\xyz', true],
    ['CN=X', 'cn=x', false]
  ]
  for (const [pattern, text, expected] of rows) {
    it(`${pattern || '(nothing)'} ${expected ? 'fits' : 'does not fit'} ${text || '(nothing)'}`, () => {
      expect(compileGlob(pattern)(text)).to.equal(expected)
    })
  }

  it('agree with a regular expression that says the same', () => {
    const some = (letters: string[]) => fc.array(fc.constantFrom(...letters), { maxLength: 8 }).map(all => all.join(''))
    fc.assert(
      fc.property(some(['a', 'b', '*', '?']), some(['a', 'b']), (pattern, text) => {
        const expression = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`)
        expect(compileGlob(pattern)(text)).to.equal(expression.test(text))
      }),
      { numRuns: 2000 }
    )
  })

  it('need no time that grows with the number of asterisks', () => {
    expect(compileGlob('*a'.repeat(200) + 'b')('a'.repeat(5000))).to.equal(false)
  })
})
