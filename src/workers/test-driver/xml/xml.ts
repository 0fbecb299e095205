import { DOMParser, type Element, type Node } from '@xmldom/xmldom'
import { CODE, DOMAIN, RemoteError } from '../../../protocol/errors.js'
import { xmlFailure } from '../failures.js'

/** One element, with its attributes and children in the order of the document. Comments are not kept. */
export interface XmlElement {
  name: string
  attributes: [name: string, value: string][]
  children: XmlNode[]
}
/** A string is text. */
export type XmlNode = XmlElement | string

/** libxml2's own limit on nesting (`xmlParserMaxDepth`). */
const MAX_DEPTH = 256
/** Larger documents are refused: parsing takes the thread for half a second a megabyte. */
const MAX_CHARACTERS = 2 * 1024 * 1024

export const isElement = (node: XmlNode): node is XmlElement => typeof node !== 'string'

export function element(name: string, attributes: Record<string, string> = {}, ...children: XmlNode[]): XmlElement {
  return { name, attributes: Object.entries(attributes), children }
}

export function attribute(of: XmlElement | undefined, name: string): string | undefined {
  return of?.attributes.find(pair => pair[0] === name)?.[1]
}

/** Sets the attribute in its place, or adds it at the end; without a value it is taken away. */
export function setAttribute(of: XmlElement, name: string, value: string | undefined): void {
  const at = of.attributes.findIndex(pair => pair[0] === name)
  if (value === undefined) {
    if (at >= 0) of.attributes.splice(at, 1)
  } else if (at >= 0) of.attributes[at]![1] = value
  else of.attributes.push([name, value])
}

export const elements = (of: XmlElement | undefined): XmlElement[] => (of ? of.children.filter(isElement) : [])

export function childrenNamed(of: XmlElement | undefined, name: string): XmlElement[] {
  return elements(of).filter(child => child.name === name)
}

/** The first child of that name; with several names, the child of the child … */
export function find(of: XmlElement | undefined, ...path: string[]): XmlElement | undefined {
  let at = of
  for (const name of path)
    at = at?.children.find((child): child is XmlElement => isElement(child) && child.name === name)
  return at
}

/** All text inside, as XPath's `string()` gives it. */
export function textOf(of: XmlElement): string {
  return of.children.map(child => (isElement(child) ? textOf(child) : child)).join('')
}

/** Text of the element at `path`; undefined if there is none or it is empty, as libvirt treats it. */
export function textAt(of: XmlElement | undefined, ...path: string[]): string | undefined {
  const found = find(of, ...path)
  const text = found && textOf(found)
  return text === '' ? undefined : text
}

export function copyOf(of: XmlElement): XmlElement {
  return {
    name: of.name,
    attributes: of.attributes.map(([name, value]) => [name, value]),
    children: of.children.map(child => (isElement(child) ? copyOf(child) : child))
  }
}

/** `code` 35: the parser's complaint with the line and a mark, as `virXMLParse` reports it. */
const XML_DETAIL = 35

/** Who parses what: the error's domain follows from the kind of document. */
const SOURCE_DOMAINS: Record<string, number> = {
  domain_definition: DOMAIN.domain,
  metadata_xml: DOMAIN.domain,
  network_definition: DOMAIN.network,
  network_update_xml: DOMAIN.network,
  interface_definition: DOMAIN.interface,
  storage_pool_definition: DOMAIN.storage,
  storage_volume_definition: DOMAIN.storage,
  storage_source_specification: DOMAIN.storage,
  node_device_definition: DOMAIN.nodedev,
  domain_snapshot: DOMAIN.domainSnapshot,
  domain_checkpoint: DOMAIN.domainCheckpoint,
  definition_of_secret: DOMAIN.secret
}

function complaint(source: string, text: string, line: number, column: number, message: string): RemoteError {
  const shown = text.split('\n')[line - 1]
  const where = `(${source}):${line}: ${message}\n${shown === undefined || text === '' ? '(null)' : shown}\n`
  const full = `${where}${'-'.repeat(Math.max(0, column))}^`
  return new RemoteError(XML_DETAIL, SOURCE_DOMAINS[source] ?? DOMAIN.xml, full, { str1: '%s', str2: full })
}

/** libxml2's words for the mistakes that people make, from what xmldom says of them. */
function inLibxmlWords(message: string, text: string): [message: string, column?: number, line?: number] {
  if (message === 'missing root element')
    return text === '' ? ['Document is empty', 0] : ["Start tag expected, '<' not found", text.search(/\S|$/)]
  let match = /^unclosed xml tag\(s\): (?:.*, )?(\S+)$/.exec(message)
  if (match) return [`Premature end of data in tag ${match[1]} line 1`, text.length, text.trimEnd().split('\n').length]
  match = /^Opening and ending tag mismatch: "(.*)" != "(.*)"$/.exec(message)
  if (match) return [`Opening and ending tag mismatch: ${match[1]} line 1 and ${match[2]}`, text.length]
  match = /^entity not found:&(.*);$/.exec(message)
  if (match) return [`Entity '${match[1]}' not defined`, text.indexOf(`&${match[1]};`) + match[1]!.length + 2]
  if (/Only one element can be added/.test(message)) return ['Extra content at the end of the document']
  if (/missed quot/.test(message)) return ['AttValue: " or \' expected']
  // Where it is, is told by line and mark.
  return [message.replace(/ (?:starting )?at position \d+$/, '')]
}

/** A text that is part of a larger document, which errors are to show. */
export interface Excerpt {
  document: string
  /** Where in it the text stands, but for the first `before` characters of the text, which were put before it. */
  at: number
  before: number
}

/**
 * Parses a whole document. `source` is what errors call it: `domain_definition`. With `root`, the document's root
 * must have that name. Throws RemoteError.
 */
export function parseXml(text: string, source: string, root?: string, excerpt?: Excerpt): XmlElement {
  if (text.length > MAX_CHARACTERS) throw xmlFailure(`document of ${text.length} characters is too large`)
  let first: RemoteError | undefined
  let top: Element | null = null
  try {
    // Xmldom's warnings are about documents that are not well-formed: unquoted attribute values and the like.
    const report = (
      _level: string,
      message: string,
      context: { locator?: { lineNumber: number; columnNumber?: number } }
    ) => {
      const whole = excerpt?.document ?? text
      const at = placed(Math.max(1, context.locator?.lineNumber ?? 1), (context.locator?.columnNumber ?? 1) - 1, excerpt)
      const [words, column = Math.max(0, at.column), line = at.line] = inLibxmlWords(message, whole)
      first ??= complaint(source, whole, line, column, words)
      throw first
    }
    top = new DOMParser({ onError: report }).parseFromString(text, 'text/xml').documentElement
  } catch (error) {
    throw first ?? xmlFailure(error instanceof Error ? error.message : String(error))
  }
  if (!top) throw complaint(source, text, 1, 0, 'Document is empty')
  const tree = fromDom(top, 0)
  if (root !== undefined) expectRoot(tree, root)
  return tree
}

/** Line, from 1 on, and column, from 0 on, in the document of the excerpt. */
function placed(line: number, column: number, excerpt: Excerpt | undefined): { line: number; column: number } {
  if (excerpt === undefined) return { line, column }
  const above = excerpt.document.slice(0, excerpt.at).split('\n')
  const shift = line === 1 ? above.at(-1)!.length - excerpt.before : 0
  return { line: line + above.length - 1, column: column + shift }
}

export function expectRoot(tree: XmlElement, root: string, domain?: number): void {
  if (tree.name === root) return
  throw new RemoteError(
    CODE.xmlError,
    domain ?? DOMAIN.xml,
    `XML error: expecting root element of '${root}', not '${tree.name}'`,
    { str1: 'XML error: %1$s', str2: `expecting root element of '${root}', not '${tree.name}'` }
  )
}

const ELEMENT_NODE = 1
const TEXT_NODE = 3
const CDATA_NODE = 4

function fromDom(node: Element, depth: number): XmlElement {
  if (depth > MAX_DEPTH) throw xmlFailure(`Excessive depth in document: ${MAX_DEPTH} use XML_PARSE_HUGE option`)
  const children: XmlNode[] = []
  for (let child: Node | null = node.firstChild; child; child = child.nextSibling) {
    if (child.nodeType === ELEMENT_NODE) children.push(fromDom(child as Element, depth + 1))
    else if (child.nodeType === TEXT_NODE || child.nodeType === CDATA_NODE) addText(children, child.nodeValue ?? '')
  }
  const attributes: [string, string][] = []
  for (let i = 0; i < node.attributes.length; i++) {
    const at = node.attributes.item(i)!
    attributes.push([at.name, at.value])
  }
  return { name: node.tagName, attributes, children: keptChildren(children) }
}

/** White space between elements is layout; the printer makes its own. */
export function keptChildren(children: XmlNode[]): XmlNode[] {
  return children.some(isElement) ? children.filter(child => isElement(child) || child.trim() !== '') : children
}

/** Behind the last child. */
export function addText(children: XmlNode[], text: string): void {
  const last = children.length - 1
  const before = children[last]
  if (typeof before === 'string') children[last] = before + text
  else children.push(text)
}

/** `virBufferEscapeString` replaces these five wherever they stand. */
const ESCAPES: Record<string, string> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', "'": '&apos;', '"': '&quot;' }
const escaped = (text: string): string => text.replace(/[<>&'"]/g, character => ESCAPES[character]!)
/** What libxml2's serialiser, used for elements that libvirt only carries, escapes in text. */
const escapedText = (text: string): string => text.replace(/[<>&]/g, character => ESCAPES[character]!)
const escapedValue = (text: string): string => text.replace(/[<>&"]/g, character => ESCAPES[character]!)

const NONE: ReadonlySet<string> = new Set()

/**
 * libvirt's layout: two spaces a level, single quotes, a line break after each element. Elements named in `open` are
 * printed with both tags even when nothing is inside.
 */
export function printXml(tree: XmlElement, level = 0, open: ReadonlySet<string> = NONE): string {
  const pad = '  '.repeat(level)
  const attributes = tree.attributes.map(([name, value]) => ` ${name}='${escaped(value)}'`).join('')
  const start = `${pad}<${tree.name}${attributes}`
  if (tree.children.length === 0) return open.has(tree.name) ? `${start}>\n${pad}</${tree.name}>\n` : `${start}/>\n`
  if (tree.children.every(child => !isElement(child))) return `${start}>${escaped(textOf(tree))}</${tree.name}>\n`
  const body = tree.children.map(child => {
    if (!isElement(child)) return `${'  '.repeat(level + 1)}${escaped(child.trim())}\n`
    return tree.name === 'metadata' ? printForeign(child, level + 1) : printXml(child, level + 1, open)
  })
  return `${start}>\n${body.join('')}${pad}</${tree.name}>\n`
}

/** An element that is not libvirt's own, in the layout of libxml2: double quotes. */
export function printForeign(tree: XmlElement, level = 0): string {
  const pad = '  '.repeat(level)
  // libxml2 prints namespace declarations first.
  const ordered = [...tree.attributes].sort((a, b) => Number(isNamespace(b[0])) - Number(isNamespace(a[0])))
  const open = `${pad}<${tree.name}${ordered.map(([name, value]) => ` ${name}="${escapedValue(value)}"`).join('')}`
  if (tree.children.length === 0) return `${open}/>\n`
  if (tree.children.every(child => !isElement(child))) return `${open}>${escapedText(textOf(tree))}</${tree.name}>\n`
  const body = tree.children.map(child =>
    isElement(child) ? printForeign(child, level + 1) : `${'  '.repeat(level + 1)}${escapedText(child.trim())}\n`
  )
  return `${open}>\n${body.join('')}${pad}</${tree.name}>\n`
}

const isNamespace = (name: string): boolean => name === 'xmlns' || name.startsWith('xmlns:')

/** Namespace URI of an element, as far as the declarations on it and on `above` tell. */
export function namespaceOf(of: XmlElement, above: readonly XmlElement[] = []): string | undefined {
  const colon = of.name.indexOf(':')
  const name = colon < 0 ? 'xmlns' : `xmlns:${of.name.slice(0, colon)}`
  for (const place of [of, ...above]) {
    const uri = attribute(place, name)
    if (uri !== undefined) return uri
  }
  return undefined
}

/** Puts `child` before `next`, or at the end if there is no such sibling. */
export function insertBefore(parent: XmlElement, child: XmlElement, next: XmlElement | undefined): void {
  const at = next ? parent.children.indexOf(next) : -1
  if (at < 0) parent.children.push(child)
  else parent.children.splice(at, 0, child)
}
