/** A comment, a section of text, an instruction, or a tag: whether it ends an element, its name, whether the element is empty. */
const MARKUP =
  /<(?:!--[^]*?--|!\[CDATA\[([^]*?)\]\]|\?[^]*?\?|(\/?)([^\s<>/!?"']+)(?=[\s/>])(?:[^<>"'/]|"[^"]*"|'[^']*'|\/(?!>))*(\/?))>/y
const REFERENCE = /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(lt|gt|amp|quot|apos));/g
const NAMED: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: '\'' }
const MOST_CODE = 0x10ffff

/**
 * What is in those children of the root that have ended where the XML is cut off: of several of one name in the first, as
 * libvirt's XPath has it. Nothing if the root is another element, or behind what makes no sense here, document types included.
 */
export function childrenOf(root: string, xml = ''): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  let depth = 0
  let child = ''
  let text = ''
  for (let from = 0, at: number; (at = xml.indexOf('<', from)) >= 0; from = MARKUP.lastIndex) {
    text += decoded(xml.slice(from, at))
    MARKUP.lastIndex = at
    const markup = MARKUP.exec(xml)
    if (markup === null) break
    const [, section = '', ends, name, empty] = markup
    text += section
    if (name === undefined) continue
    if (depth === 0 && localName(name) !== root) break
    if (depth === 1 && ends === '') {
      child = name
      text = ''
    }
    if (ends === '') depth++
    if (ends === '' && empty === '') continue
    depth--
    if (depth === 1 && !found.has(child)) found.set(child, text)
    if (depth <= 0) break
  }
  return found
}

const localName = (name: string): string => name.slice(name.indexOf(':') + 1)

const decoded = (text: string): string => text.replace(REFERENCE, (whole, decimal?: string, hex?: string, name?: string) => {
  if (name !== undefined) return NAMED[name]!
  const code = decimal === undefined ? parseInt(hex!, 16) : Number(decimal)
  return code <= MOST_CODE ? String.fromCodePoint(code) : whole
})
