import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import ts from 'typescript'
import { sourceImports } from '../support/source-imports.js'

/** Rooms whose parts are given narrow interfaces, and no more of each other. */
const ROOMS = /^workers\/(transport|framing|auth|driver|arrival|serving|session)\//
const MOST_MEMBERS = 7
/** What holds everything of a client, or of a thread. */
const WHOLE = ['ClientSession', 'Actor']

interface Found {
  where: string
  members: number
  /** Names of types, in all that is declared. */
  types: string[]
}

/** The exported interfaces of a source. What one extends is another one that is handed over with it. */
function interfacesOf(file: string): Found[] {
  const text = readFileSync(new URL(`../../../src/${file}`, import.meta.url), 'utf8')
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest)
  const typesIn = (node: ts.Node): string[] => {
    const name = ts.isTypeReferenceNode(node) && ts.isIdentifier(node.typeName) ? [node.typeName.text] : []
    const within: string[] = []
    ts.forEachChild(node, child => void within.push(...typesIn(child)))
    return [...name, ...within]
  }
  return source.statements
    .filter(ts.isInterfaceDeclaration)
    .filter(({ modifiers }) => modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword))
    .map(node => ({ where: `${file} ${node.name.text}`, members: node.members.length, types: typesIn(node) }))
}

describe('the interfaces that parts of a session are given', () => {
  const found = [...sourceImports().keys()].filter(file => ROOMS.test(file)).flatMap(interfacesOf)

  it('are there', () => {
    const names = found.map(({ where }) => where)
    expect(names).to.include.members(['workers/driver/driver-port.ts DriverPort', 'workers/session/ports.ts ClientPort'])
  })

  it(`have at most ${MOST_MEMBERS} members`, () => {
    const wide = found.filter(({ members }) => members > MOST_MEMBERS).map(({ where }) => where)
    expect(wide).to.deep.equal([])
  })

  it('hold neither the session nor the actor', () => {
    for (const whole of WHOLE) expect(found.filter(({ types }) => types.includes(whole)), whole).to.deep.equal([])
  })
})
