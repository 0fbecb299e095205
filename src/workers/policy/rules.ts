import { compileGlob } from '../../protocol/glob.js'
import { PROGRAM } from '../../protocol/header.js'
import { proceduresOf, type Procedure } from '../../protocol/procedures.js'
import { AddressSet } from '../os/address-set.js'

/** What is known of a client when it is in. */
export interface Subject {
  listener: ListenerName
  address: string | undefined
  saslUser: string | undefined
  /** Distinguished name of its certificate; empty if the certificate has none, or nobody vouches for it. */
  name: string | undefined
  uid: number | undefined
}

const LISTENERS = ['unix', 'unix-ro', 'tcp', 'tls'] as const
export type ListenerName = (typeof LISTENERS)[number]

type Test<T> = (value: T) => boolean

/** Permissions or procedures: one word of a rule. */
export interface Word {
  /** Of `object:permission`. */
  permission?: Test<string>
  /** Of a procedure's public name, see `policyName`. */
  procedure?: Test<string>
}

export interface Rule {
  applies: Test<Subject>
  verdict: 'allow' | 'deny'
  words: readonly Word[]
}

/** A rule that cannot be understood; the message says what is wrong with it. */
export class RuleError extends Error {}

/** Programs whose calls can be named, with the prefix of their names. */
const PROGRAMS: readonly (readonly [program: number, prefix: string])[] = [
  [PROGRAM.remote, ''],
  [PROGRAM.qemu, 'QEMU_'],
  [PROGRAM.lxc, 'LXC_']
]

/** As rules name a procedure: `DOMAIN_GET_INFO`, `QEMU_DOMAIN_MONITOR_COMMAND`. */
export function policyName({ program, name }: Procedure): string {
  return (PROGRAMS.find(([number]) => number === program)?.[1] ?? '') + name
}

/** The calls that rules decide on: those which the broker answers itself are always let through. */
export function decidable(program: number): readonly Procedure[] {
  return proceduresOf(program).filter(({ kind }) => kind === 'call')
}

const everything = PROGRAMS.flatMap(([program]) => decidable(program))
const PERMISSIONS = [...new Set(everything.flatMap(({ acl }) => acl.map(permissionOf)))]
const NAMES = everything.map(policyName)

/** `object:permission` of an entry of the table of procedures, without its condition. */
export function permissionOf(entry: string): string {
  const [object = '', permission = ''] = entry.split(':')
  return `${object}:${permission}`
}

/**
 * `CONDITION & CONDITION => allow WORD WORD …`, or `deny`. Throws RuleError; a word that fits nothing at all is an
 * error too, because it is a slip of the pen.
 */
export function parseRule(text: string): Rule {
  const arrow = text.lastIndexOf(' => ')
  if (arrow < 0) throw new RuleError(`'${text}' has no ' => '`)
  const [verdict, ...words] = text.slice(arrow + 4).trim().split(/\s+/)
  if (verdict !== 'allow' && verdict !== 'deny') throw new RuleError(`'${text}' says neither allow nor deny`)
  if (words.length === 0) throw new RuleError(`'${text}' does not say what to ${verdict}`)
  const conditions = separate(text.slice(0, arrow)).map(parseCondition)
  return {
    applies: subject => conditions.every(condition => condition(subject)),
    verdict,
    words: words.map(parseWord)
  }
}

/** At each `&`, with blanks or without. One that belongs to a name is written `\&`; other backslashes are the name's. */
function separate(text: string): string[] {
  const parts = ['']
  for (const [piece] of text.matchAll(/\\.|./gs)) {
    if (piece === '&') parts.push('')
    else parts[parts.length - 1] += piece === '\\&' ? '&' : piece
  }
  return parts
}

function parseWord(text: string): Word {
  const matches = compileGlob(text)
  const [known, word] = text.includes(':') ? [PERMISSIONS, { permission: matches }] : [NAMES, { procedure: matches }]
  if (!known.some(matches)) throw new RuleError(`'${text}' is no permission and no procedure`)
  return word
}

function parseCondition(text: string): Test<Subject> {
  const condition = text.trim()
  if (condition === '*') return () => true
  const [, kind, value = ''] = /^([a-z]+)=(.+)$/s.exec(condition) ?? []
  if (/[\s,;|](listener|sasl|dn|uid|address)=/.test(value)) throw new RuleError(`'${condition}': conditions are joined with &`)
  switch (kind) {
    case 'listener':
      if (LISTENERS.every(name => name !== value)) {
        throw new RuleError(`'${condition}': listeners are ${LISTENERS.join(', ')}`)
      }
      return ({ listener }) => listener === value
    case 'sasl':
      return given(({ saslUser }) => saslUser, compileGlob(value))
    case 'dn':
      return given(({ name }) => name, compileGlob(value))
    case 'uid':
      if (!/^\d+$/.test(value)) throw new RuleError(`'${condition}': a uid is a number`)
      return ({ uid }) => uid === Number(value)
    case 'address':
      return given(({ address }) => address, parseAddresses(value, condition))
    default:
      throw new RuleError(`'${condition}' is not *, listener=, sasl=, dn=, uid= or address=`)
  }
}

/** What is not known of a client fits no condition, and a name that is empty is not known. */
const given =
  (value: (subject: Subject) => string | undefined, test: Test<string>): Test<Subject> =>
    subject => {
      const found = value(subject)
      return found !== undefined && found !== '' && test(found)
    }

function parseAddresses(text: string, condition: string): Test<string> {
  try {
    const addresses = new AddressSet([text])
    return address => addresses.has(address)
  } catch {
    throw new RuleError(`'${condition}': an address, a range A-B or a subnet A/BITS is wanted`)
  }
}
