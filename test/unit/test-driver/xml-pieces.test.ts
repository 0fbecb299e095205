import { expect } from 'chai'
import fc from 'fast-check'
import { parseXmlInPieces } from '#workers/test-driver/xml/pieces.js'
import { parseXml, type XmlElement } from '#workers/test-driver/xml/xml.js'

interface Outcome {
  tree?: XmlElement
  failure?: string
  /** Pieces that it took. */
  pieces: number
}

function outcome(work: () => XmlElement): Outcome {
  try {
    return { tree: work(), pieces: 1 }
  } catch (error) {
    // The parser has no place for what is wrong in an end tag or with a reference, and names the last that it had.
    return { failure: (error as Error).message.replace(/^\(test\):\d+: (end tag [^:\n]*|entity.*)[^]*$/i, '$1'), pieces: 1 }
  }
}

function inPieces(text: string): Outcome {
  const work = parseXmlInPieces(text, 'test')
  let pieces = 1
  const result = outcome(() => {
    for (;;) {
      const { done, value } = work.next()
      if (done === true) return value
      pieces++
    }
  })
  return { ...result, pieces }
}

/** What both say of a text, and in how many pieces the one was read. */
function same(text: string): number {
  const whole = outcome(() => parseXml(text, 'test'))
  const { pieces, ...found } = inPieces(text)
  expect({ ...found, pieces: 1 }).to.deep.equal(whole)
  return pieces
}

const child = (i: number): string => `  <domain type='a>b' n="${i}">
    <!-- <x> ' --><name>guest &lt; <![CDATA[</domain>]]></name><?php </domain> ?>
    <u:state/> text
  </domain>`
const document = (count: number): string =>
  `<?xml version="1.0"?>\n<!-- </node> -->\n<node a='>'\n  xmlns:u="v">\n` +
  `${Array.from({ length: count }, (_, i) => child(i)).join('\n')}\n</node>\n`

const DAMAGE = ['', '<', '>', '"', "'", '&', '</', '<!--', ']]>', '<![CDATA[', '<?', '\n', '/']

describe('XML that is read in pieces', () => {
  it('is what it is in one', () => {
    expect(same(document(100))).to.be.within(5, 20)
    expect(same(`<node>some ${'<a/> text '.repeat(2000)}<b>more</b></node>`)).to.be.within(5, 20)
    expect(same(`<node>${'<a/\n> <b />'.repeat(1000)}</node>`)).to.be.within(2, 20)
    for (const text of ['<a/>', ' <a></a> ', '<a>text</a>', '<a\n b="c"/>', '<a><!-- b --></a><!-- c -->']) expect(same(text)).to.equal(1)
  })

  it('has the same complaint at the same place, whatever is done to it', () => {
    const text = document(40)
    const damage = fc.tuple(fc.nat(text.length), fc.nat(30), fc.constantFrom(...DAMAGE))
    fc.assert(
      fc.property(damage, ([at, removed, put]) => void same(text.slice(0, at) + put + text.slice(at + removed))),
      { numRuns: 500 }
    )
    for (const odd of ['', ' ', 'a', '<', '<a', '</a>', '<a></b>', '<a></a><b/>', '<a></a>b', `${document(10)}<b/>`]) same(odd)
  })

  it('is left in one piece where a document type may say how it is to be read', () => {
    expect(same(`<!DOCTYPE node [<!ENTITY a "b">]>${document(100).slice(40)}`)).to.equal(1)
  })
})
