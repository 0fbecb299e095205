import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { HandlerTable } from '../call.js'
import { putText } from './layout.js'
import { AFFECT, type Definition } from './definition.js'
import { badArgument, checkFlags, invalidArg, noMetadata } from '../failures.js'
import { readDomain, readString } from '../wire.js'
import {
  childrenNamed,
  copyOf,
  elements,
  find,
  isElement,
  namespaceOf,
  parseXml,
  printForeign,
  setAttribute,
  textOf,
  type XmlElement
} from '../xml/xml.js'

/** `VIR_DOMAIN_METADATA_*` */
const KIND = { description: 0, title: 1, element: 2 } as const
const TEXT_NAMES = ['description', 'title']
const BOTH = AFFECT.live | AFFECT.config

const own = (definition: Definition, uri: string): XmlElement | undefined =>
  elements(find(definition.tree, 'metadata')).find(child => namespaceOf(child) === uri)

function drop(tree: XmlElement, child: XmlElement | undefined): void {
  tree.children = tree.children.filter(other => other !== child)
}

function setElement(definition: Definition, xml: string | undefined, key: string, uri: string): void {
  const fresh = xml === undefined ? undefined : qualified(parseXml(xml, 'metadata_xml'), key)
  const section = definition.section('metadata')
  drop(section, own(definition, uri))
  if (fresh) {
    fresh.attributes.unshift([`xmlns:${key}`, uri])
    section.children.push(fresh)
  }
  if (section.children.length === 0) drop(definition.tree, section)
}

/** The element and all inside it, under the prefix. */
function qualified(of: XmlElement, key: string): XmlElement {
  const children = of.children.map(child => (isElement(child) ? qualified(child, key) : child))
  return { name: of.name.includes(':') ? of.name : `${key}:${of.name}`, attributes: [...of.attributes], children }
}

/** What a client gets back: without its prefix and namespace. */
function unqualified(of: XmlElement, prefix: string): XmlElement {
  const tree = copyOf(of)
  const strip = (at: XmlElement): void => {
    if (at.name.startsWith(`${prefix}:`)) at.name = at.name.slice(prefix.length + 1)
    elements(at).forEach(strip)
  }
  strip(tree)
  setAttribute(tree, prefix === '' ? 'xmlns' : `xmlns:${prefix}`, undefined)
  return tree
}

function change(definition: Definition, type: number, text: string | undefined, key: string, uri: string): void {
  const name = TEXT_NAMES[type]
  if (name === undefined) return setElement(definition, text, key, uri)
  if (text === undefined || text === '') drop(definition.tree, find(definition.tree, name))
  else putText(definition.tree, name, text)
}

function read(definition: Definition, type: number, uri: string): string {
  const name = TEXT_NAMES[type]
  const found = name === undefined ? own(definition, uri) : childrenNamed(definition.tree, name)[0]
  if (!found) throw noMetadata('Requested metadata element is not present', DOMAIN.domain)
  if (name !== undefined) return textOf(found)
  const colon = found.name.indexOf(':')
  return printForeign(unqualified(found, colon < 0 ? '' : found.name.slice(0, colon))).trimEnd()
}

function checkType(type: number): void {
  if (type < 0 || type > KIND.element) throw invalidArg(`unknown metadata type '${type}'`, DOMAIN.domain)
}

export const domainMetadataHandlers: HandlerTable = {
  [REMOTE.domainGetMetadata]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const [type, uri, flags] = [args.i32(), args.optional(readString), args.u32()]
    checkFlags(flags, BOTH, 'testDomainGetMetadata')
    const domain = hypervisor.domain(ref)
    checkType(type)
    reply.string(read(domain.definitionFor(flags), type, uri ?? ''))
  },
  [REMOTE.domainSetMetadata]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const [type, text, key, uri] = [
      args.i32(),
      args.optional(readString),
      args.optional(readString),
      args.optional(readString)
    ]
    const flags = args.u32()
    if (type === KIND.title && text?.includes('\n'))
      throw badArgument("metadata title can't contain newlines", 'virDomainSetMetadata', 'metadata', DOMAIN.domain)
    if (type === KIND.element && uri === undefined) throw missing('uri')
    if (type === KIND.element && text !== undefined && key === undefined) throw missing('key')
    checkFlags(flags, BOTH, 'testDomainSetMetadata')
    const domain = hypervisor.domain(ref)
    checkType(type)
    const { live, config } = domain.definitionsFor(flags)
    for (const definition of [live, config]) if (definition) change(definition, type, text, key ?? '', uri ?? '')
    hypervisor.events.domainMetadata(domain.ref(), type, uri)
  }
}

const missing = (argument: string): Error =>
  badArgument(`${argument} in virDomainSetMetadata must not be NULL`, 'virDomainSetMetadata', argument, DOMAIN.domain)
