import { addText, keptChildren, parseXml, type XmlElement } from './xml.js'

/** Children of the root are parsed together up to this size, in characters: well under a millisecond. */
const PIECE_CHARACTERS = 2048
/** A start or end tag. Values may have a `>`. */
const TAG = /<[^<>"']*(?:(?:"[^"]*"|'[^']*')[^<>"']*)*>/y
/** What is left of the parser's view, by how it begins and ends. */
const OPAQUE = [
  ['<!--', '-->'],
  ['<![CDATA[', ']]>'],
  ['<?', '?>']
] as const

/**
 * As `parseXml`, with a pause after each piece of a document whose root has many children. Where a child ends is found
 * by looking at tags and at nothing else. What makes no sense to that look is left to the parser to judge, in one piece
 * with the rest of the document.
 */
export function* parseXmlInPieces(text: string, source: string): Generator<void, XmlElement> {
  const open = rootTag(text)
  if (open === undefined) return parseXml(text, source)
  const start = text.slice(open.from, open.to)
  const end = `</${/^<([^\s>]*)/.exec(start)![1]}>`
  // On one line, so that a place in a piece is found in the document.
  const before = start.replace(/[\r\n]/g, ' ')
  const parse = (before: string, at: number, to: number, after: string): XmlElement =>
    parseXml(before + text.slice(at, to) + after, source, undefined, { document: text, at, before: before.length })
  const root = parse('', 0, open.to, end)
  const add = (from: number, to: number, after: string): void => {
    for (const child of parse(before, from, to, after).children) {
      if (typeof child === 'string') addText(root.children, child)
      else root.children.push(child)
    }
  }
  let from = open.to
  for (const to of childEnds(text, from)) {
    if (to - from < PIECE_CHARACTERS) continue
    add(from, to, end)
    from = to
    yield
  }
  add(from, text.length, '')
  root.children = keptChildren(root.children)
  return root
}

/** Where the start tag of the root is, if anything can be inside and nothing before it changes how that is read. */
function rootTag(text: string): { from: number; to: number } | undefined {
  for (let from = text.search(/\S/), to; text[from] === '<'; from = to + text.slice(to).search(/\S/)) {
    to = markupEnd(text, from)
    if (to === undefined) return undefined
    const kind = text[from + 1]
    if (kind === '?' || kind === '!') continue
    return kind === '/' || isEmptyTag(text, from, to) ? undefined : { from, to }
  }
  return undefined
}

/** The ends of the root's children that begin at `at`. */
function* childEnds(text: string, at: number): Generator<number> {
  let depth = 0
  for (let from; (from = text.indexOf('<', at)) >= 0;) {
    const to = markupEnd(text, from)
    if (to === undefined) return
    const kind = text[from + 1]
    if (kind === '/') depth--
    else if (kind !== '?' && kind !== '!' && !isEmptyTag(text, from, to)) depth++
    if (depth < 0) return
    if (depth === 0 && kind !== '?' && kind !== '!') yield to
    at = to
  }
}

/** Undefined if it is not known, as for a document type. */
function markupEnd(text: string, from: number): number | undefined {
  for (const [begin, end] of OPAQUE) {
    if (!text.startsWith(begin, from)) continue
    const at = text.indexOf(end, from + begin.length)
    return at < 0 ? undefined : at + end.length
  }
  TAG.lastIndex = from
  return text[from + 1] !== '!' && TAG.test(text) ? TAG.lastIndex : undefined
}

/** The parser takes white space before the `>`. */
const isEmptyTag = (text: string, from: number, to: number): boolean => text.slice(from, to - 1).trimEnd().endsWith('/')
