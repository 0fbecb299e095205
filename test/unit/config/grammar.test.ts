import { expect } from 'chai'
import fc from 'fast-check'
import { parseConf, type ConfValue } from '#main/config/grammar.js'
import { StartupError } from '#main/config/startup-error.js'

const parse = (text: string) => parseConf(text, 'FILE')

function plain(value: ConfValue): unknown {
  return value.kind === 'list' ? value.value.map(plain) : value.value
}

const read = (text: string): Record<string, unknown> =>
  Object.fromEntries([...parse(text)].map(([name, { value }]) => [name, plain(value)]))

function refusal(text: string): string {
  try {
    parse(text)
  } catch (error) {
    expect(error).to.be.instanceOf(StartupError)
    return (error as StartupError).message
  }
  return 'accepted'
}

describe('the grammar of virtproxyd.conf', () => {
  const accepted: [string, string, Record<string, unknown>][] = [
    ['an empty file', '', {}],
    ['a file of comments', '# one\n  # two\n', {}],
    ['blanks around the equals sign', '\t a \t=\t 1 \t', { a: 1n }],
    ['a missing final newline', "a = 'x'", { a: 'x' }],
    ['LF, CR and CRLF', 'a=1\nb=2\rc=3\r\nd=4', { a: 1n, b: 2n, c: 3n, d: 4n }],
    ['a semicolon between settings', 'a=1;b=2;\nc=3', { a: 1n, b: 2n, c: 3n }],
    ['a comment after a value', 'a = 1 # why\nb = "#no"', { a: 1n, b: '#no' }],
    ['digits and underscores in names', 'Ab_9_ = 1', { Ab_9_: 1n }],
    ['signs of integers', 'a=+7\nb=-7\nc=-0', { a: 7n, b: -7n, c: 0n }],
    ['the largest integers', 'a=9223372036854775807\nb=-9223372036854775807', {
      a: 2n ** 63n - 1n,
      b: 1n - 2n ** 63n
    }],
    ['leading zeros', `a=${'0'.repeat(40)}12`, { a: 12n }],
    ['the other quote inside a string', `a="it's"\nb='say "x"'`, { a: "it's", b: 'say "x"' }],
    ['backslashes as themselves', String.raw`a="\n\"`, { a: '\\n\\' }],
    ['strings over several lines', 'a="""one\n"two"\n"""\nb=1', { a: 'one\n"two"\n', b: 1n }],
    ['an empty string of each kind', 'a=""\nb=\'\'\nc=""""""\n', { a: '', b: '', c: '' }],
    ['bytes that are not ASCII in strings', 'a="/dätä/Ω"', { a: '/dätä/Ω' }],
    ['a string up to its NUL', 'a="x\0y"', { a: 'x' }],
    ['lists over several lines', 'a = [\n  "x",\n  "y"\n]\n', { a: ['x', 'y'] }],
    ['a trailing comma', 'a=["x",]', { a: ['x'] }],
    ['an empty list', 'a=[ ]', { a: [] }],
    ['nested and mixed lists', 'a=[1,["x",[-2]]]', { a: [1n, ['x', [-2n]]] }]
  ]
  for (const [name, text, expected] of accepted) {
    it(`reads ${name}`, () => expect(read(text)).to.deep.equal(expected))
  }

  it('lets the first assignment win', () => {
    expect(read('a=1\na="x"')).to.deep.equal({ a: 1n })
  })

  it('remembers the line of each value', () => {
    expect([...parse('a=1\n# c\n\nb=[\n2]').values()].map(({ line }) => line)).to.deep.equal([1, 5])
  })

  it('tells minus zero from zero by its sign', () => {
    expect(parse('a=-0').get('a')?.value).to.deep.equal({ kind: 'signed', value: 0n })
  })

  const refused: [string, number, string][] = [
    ['\n\n', 3, 'expecting a name'],
    ['_a = 1', 1, 'expecting a name'],
    ['1a = 1', 1, 'expecting a name'],
    ['= 1', 1, 'expecting a name'],
    [';a=1', 1, 'expecting a name'],
    ['a=1;;b=2', 1, 'expecting a name'],
    ['\ufeffa=1', 1, 'expecting a name'],
    ['a 1', 1, 'expecting an assignment'],
    ['a', 1, 'expecting an assignment'],
    ['a.b = 1', 1, 'expecting an assignment'],
    ['a-b = 1', 1, 'expecting an assignment'],
    ['#c\n#c\n  a b', 3, 'expecting an assignment'],
    ['\r\ra b', 1, 'expecting an assignment'],
    ['\r\n\r\na b', 3, 'expecting an assignment'],
    ['a=1 b=2', 1, 'expecting a separator'],
    ['a=0x10', 1, 'expecting a separator'],
    ['a=1.5', 1, 'expecting a separator'],
    ['a="x""y"', 1, 'expecting a separator'],
    ['a=[1]]', 1, 'expecting a separator'],
    ['a="""x\n\ny""" b', 3, 'expecting a separator'],
    ['a=true', 1, 'expecting a value'],
    ['a=none', 1, 'expecting a value'],
    ['a=', 1, 'expecting a value'],
    ['a=\n1', 1, 'expecting a value'],
    ['a=[,]', 1, 'expecting a value'],
    ['a=[1,,2]', 1, 'expecting a value'],
    ['a=[1,', 1, 'expecting a value'],
    ['a=[ # c\n1]', 1, 'expecting a value'],
    ['a="x', 1, 'unterminated string'],
    ["a='x\n'", 1, 'unterminated string'],
    ['a=[\n1,\n"x\n]', 3, 'unterminated string'],
    ['a="""x\n\ny', 2, 'unterminated string'],
    ['a=-', 1, 'unterminated number'],
    ['a=+x', 1, 'unterminated number'],
    ['a=[1 2]', 1, 'expecting a separator in list'],
    ['a=[', 1, 'list is not closed with ]'],
    ['a=[1,\n2', 2, 'list is not closed with ]'],
    [`a=${'['.repeat(1000)}`, 1, 'lists are nested too deeply']
  ]
  for (const [text, line, what] of refused) {
    it(`refuses ${JSON.stringify(text.slice(0, 30))}: ${what}`, () => {
      expect(refusal(text)).to.equal(`configuration file syntax error: FILE:${line}: ${what}`)
    })
  }

  it('refuses integers that need more than 63 bits', () => {
    const text = 'numerical overflow: FILE:2: numeric overflow in conf value'
    expect(refusal('\na=9223372036854775808')).to.equal(text)
    expect(refusal(`\na=-${'9'.repeat(1_000_000)}`)).to.equal(text)
  })

  it('reads ten megabytes on one line without taking quadratic time', function () {
    this.timeout(20_000)
    const count = 1_000_000
    expect(plain(parse(`a=[${'"x",'.repeat(count)}]`).get('a')!.value)).to.have.length(count)
  })

  it('answers garbage with a StartupError and nothing else', () => {
    const pieces = fc.constantFrom('a', '_', '=', ' ', '\n', '\r', ';', '#', '"', "'", '"""', '[', ']', ',', '-', '1', '\0')
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.array(pieces).map(parts => parts.join('')))
    fc.assert(
      fc.property(text, input => {
        try {
          parse(input)
        } catch (error) {
          expect(error).to.be.instanceOf(StartupError)
        }
      }),
      { numRuns: 3000 }
    )
  })
})
