import { expect } from 'chai'
import fc from 'fast-check'
import { parseDomain } from '#workers/test-driver/domain/domain-xml.js'
import { element, parseXml, printForeign, printXml, type XmlElement } from '#workers/test-driver/xml/xml.js'

const bare = "<domain type='test'><name>a</name><memory>1</memory><os><type>hvm</type></os>"

describe('XML of the test driver', () => {
  it('is printed in libvirt’s style', () => {
    const tree = parseXml('<a  b="1" c=\'"\'><d/>\n\n<e>x &lt; y</e></a>', 'test')
    expect(printXml(tree)).to.equal("<a b='1' c='&quot;'>\n  <d/>\n  <e>x &lt; y</e>\n</a>\n")
    expect(printForeign(tree)).to.equal('<a b="1" c="&quot;">\n  <d/>\n  <e>x &lt; y</e>\n</a>\n')
  })

  it('comes back as it was, whatever the names and texts', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,6}$/)
    const text = fc.stringMatching(/^[!-~]{1,10}$/)
    const { tree } = fc.letrec<{ tree: XmlElement }>(tie => ({
      tree: fc
        .tuple(
          name,
          fc.dictionary(name, text, { maxKeys: 3 }),
          fc.oneof(
            { maxDepth: 4 },
            text.map(one => [one]),
            fc.array(tie('tree'), { maxLength: 3 })
          )
        )
        .map(([called, attributes, children]) => element(called, attributes, ...children))
    }))
    fc.assert(
      fc.property(tree, given => {
        expect(parseXml(printXml(given), 'test')).to.deep.equal(given)
      }),
      { numRuns: 200 }
    )
  })

  it('keeps elements that the driver does not know, in and after the known ones', () => {
    const printed = printXml(
      parseDomain(`${bare}<new n='1'><x/></new><devices><gadget><y/></gadget></devices></domain>`)
    )
    expect(printed).to.include("<new n='1'>\n    <x/>\n  </new>")
    expect(printed).to.include('<gadget>\n      <y/>\n    </gadget>')
  })

  it('gives the same definition when a printed one is read again', () => {
    const disks =
      "<devices><disk type='file'><target dev='sdc'/></disk><disk type='file'><target dev='hda'/></disk></devices>"
    const once = printXml(parseDomain(`${bare}${disks}</domain>`))
    expect(printXml(parseDomain(once))).to.equal(once)
  })
})
