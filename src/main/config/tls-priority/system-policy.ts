import { readFileSync } from 'node:fs'
import { CIPHERS, findName, GROUPS, KEY_EXCHANGES, MACS, SIGNATURES, VERSIONS, CURVES } from './names.js'
import { PriorityError, type Preferences } from './interpret.js'
import { PROFILES, stronger, type Profile } from './profiles.js'

/** Where the administrator of a host keeps GnuTLS's configuration; distributions differ. */
const FILES = ['/etc/gnutls/config', '/etc/crypto-policies/back-ends/gnutls.config']

/** What GnuTLS's configuration file says: words for `@WORD`, and what is valid for every priority string. */
export interface SystemPolicy {
  /** Undefined: there is none. */
  readonly file: string | undefined
  readonly words: ReadonlyMap<string, string>
  /** Whether the overrides say what is allowed, and not what is not. */
  readonly allows: boolean
  /** The overrides that name algorithms, by the end of their name, e.g. `cipher`. */
  readonly overrides: ReadonlyMap<Override, readonly string[]>
  readonly profile: Profile | undefined
  readonly sessionHash: string | undefined
  readonly rsaEncryption: boolean
}

type Override = 'version' | 'cipher' | 'mac' | 'kx' | 'group' | 'curve' | 'sig' | 'hash'

/** The words in the order in which an allowing policy puts its own priority string together. */
const OVERRIDES: Readonly<Record<Override, { allow: string; block: string; known?: readonly string[] }>> = {
  kx: { allow: 'tls-enabled-kx', block: 'tls-disabled-kx', known: KEY_EXCHANGES },
  group: { allow: 'tls-enabled-group', block: 'tls-disabled-group', known: GROUPS },
  cipher: { allow: 'tls-enabled-cipher', block: 'tls-disabled-cipher', known: CIPHERS },
  mac: { allow: 'tls-enabled-mac', block: 'tls-disabled-mac', known: MACS },
  sig: { allow: 'secure-sig', block: 'insecure-sig', known: SIGNATURES },
  version: { allow: 'enabled-version', block: 'disabled-version', known: VERSIONS },
  curve: { allow: 'enabled-curve', block: 'disabled-curve', known: CURVES },
  hash: { allow: 'secure-hash', block: 'insecure-hash' }
}
const PREFIXES: Partial<Record<Override, string>> = { group: 'GROUP-', sig: 'SIGN-', version: 'VERS-' }

/** Where nothing is configured, `@SYSTEM` is what this program does by itself. */
export const NO_POLICY: SystemPolicy = {
  file: undefined,
  words: new Map([['SYSTEM', 'NORMAL']]),
  allows: false,
  overrides: new Map(),
  profile: undefined,
  sessionHash: undefined,
  rsaEncryption: true
}

/** Reads the host's configuration of GnuTLS. It waits for the disk: for start-up only. */
export function readSystemPolicy(env: Readonly<Record<string, string | undefined>>): SystemPolicy {
  const named = env.GNUTLS_SYSTEM_PRIORITY_FILE
  for (const file of named === undefined ? FILES : [named]) {
    try {
      return parsePolicy(readFileSync(file, 'utf8'), file)
    } catch {
      // GnuTLS goes on without a file that it cannot read.
    }
  }
  return NO_POLICY
}

interface Entry {
  section: string
  name: string
  value: string
}

/** A file with a line that is not understood counts as empty, as it does with GnuTLS. */
export function parsePolicy(text: string, file: string): SystemPolicy {
  const entries = readEntries(text) ?? []
  const inSection = (section: string): Entry[] => entries.filter(entry => entry.section === section)
  const last = (section: string, name: string): string | undefined => inSection(section).findLast(entry => entry.name === name)?.value
  const allows = firstWord(last('global', 'override-mode') ?? '').toLowerCase() === 'allowlist'
  const overrides = new Map<Override, string[]>()
  for (const [override, { allow, block, known }] of Object.entries(OVERRIDES) as [Override, (typeof OVERRIDES)[Override]][]) {
    const wanted = inSection('overrides').filter(({ name }) => name === (allows ? allow : block))
    const names = wanted.map(({ value }) => readName(override, firstWord(value), known)).filter(name => name !== undefined)
    if (names.length > 0) overrides.set(override, [...new Set(names)])
  }
  const words = new Map<string, string>()
  for (const { name, value } of [...inSection(''), ...inSection('priorities')]) if (!words.has(name)) words.set(name, value)
  if (allows) words.set('SYSTEM', allowedString(overrides))
  const profile = last('overrides', 'min-verification-profile')?.toUpperCase().replace(' ', '_')
  return {
    file,
    words,
    allows,
    overrides,
    profile: PROFILES.find(candidate => candidate === profile),
    sessionHash: last('overrides', 'tls-session-hash')?.toLowerCase(),
    rsaEncryption: firstWord(last('overrides', 'allow-rsa-pkcs1-encrypt') ?? '').toLowerCase() !== 'false'
  }
}

const firstWord = (value: string): string => value.trim().split(/\s/)[0]!

const readName = (override: Override, value: string, known: readonly string[] | undefined): string | undefined =>
  known === undefined ? value.toUpperCase() : findName(known, override === 'group' ? value.replace(/^GROUP-/i, '') : value)

/** The lines of an ini file as inih reads them; undefined if one is wrong. Names of sections do not depend on case. */
function readEntries(text: string): Entry[] | undefined {
  const entries: Entry[] = []
  let section = ''
  let name = ''
  for (const line of text.replace(/^\ufeff/, '').split('\n')) {
    const trimmed = line.trim()
    if (trimmed === '' || /^[;#]/.test(trimmed)) continue
    const header = /^\[([^\]]*)\]/.exec(trimmed)
    const [, before, after] = /^([^=:]*)[=:](.*)$/.exec(trimmed) ?? []
    if (name !== '' && /^\s/.test(line)) entries.push({ section, name, value: withoutComment(trimmed) })
    else if (header !== null) [section, name] = [header[1]!.toLowerCase(), '']
    else if (before !== undefined && after !== undefined) {
      // Words of one's own keep their case, all other names are compared without.
      name = section === '' || section === 'priorities' ? before.trim() : before.trim().toLowerCase()
      entries.push({ section, name, value: withoutComment(after) })
    } else return undefined
  }
  return entries
}

const withoutComment = (value: string): string => value.replace(/\s[;#].*$/, '').trim()

function allowedString(overrides: SystemPolicy['overrides']): string {
  const items = (['kx', 'group', 'cipher', 'mac', 'sig', 'version'] as const).flatMap(override =>
    (overrides.get(override) ?? []).map(name => `+${PREFIXES[override] ?? ''}${name}`)
  )
  return ['NONE', ...items].join(':')
}

export interface Resolved {
  text: string
  /** How many of its items are the host's. */
  fromHost: number
}

/**
 * Puts what the host says in the place of `@WORD` or `@WORD,WORD,…`, of which the first that is known counts. What
 * follows a colon stays. Throws PriorityError.
 */
export function resolve(text: string, policy: SystemPolicy): Resolved {
  const [, words, rest = ''] = /^\s*@([^:]*)(:.*)?$/s.exec(text) ?? []
  if (words === undefined) return { text, fromHost: 0 }
  const found = words.split(',').map(word => policy.words.get(word)).find(value => value !== undefined)
  if (found !== undefined) return { text: `${found}${rest}`, fromHost: found.split(':').length }
  const where = policy.file === undefined ? 'GnuTLS is not configured on this host' : `'${policy.file}' does not have it`
  throw new PriorityError(`'@${words}' is not known: ${where}`)
}

/** What the host does not allow goes, whatever the priority string says. */
export function restrict(chosen: Preferences, policy: SystemPolicy): void {
  const { allows, overrides } = policy
  const listed = (override: Override, name: string): boolean => overrides.get(override)?.includes(name) === true
  /** Algorithms for TLS alone are allowed one by one in the priority string that such a policy makes itself. */
  const blocked = (override: Override, name: string): boolean => !allows && listed(override, name)
  const insecure = (override: Override, name: string): boolean => allows !== listed(override, name)
  chosen.keyExchanges = chosen.keyExchanges.filter(
    name => !blocked('kx', name) && (policy.rsaEncryption || name !== 'RSA')
  )
  chosen.ciphers = chosen.ciphers.filter(name => !blocked('cipher', name))
  chosen.macs = chosen.macs.filter(name => !blocked('mac', name))
  chosen.versions = chosen.versions.filter(name => !insecure('version', name))
  chosen.groups = chosen.groups.filter(name => !blocked('group', name) && !(CURVES.includes(name) && insecure('curve', name)))
  chosen.signatures = chosen.signatures.filter(name => {
    const hash = hashOf(name)
    return !insecure('sig', name) && (hash === undefined || !insecure('hash', hash))
  })
  if (policy.profile !== undefined) chosen.profile = stronger(chosen.profile, policy.profile)
  if (policy.sessionHash === 'require') chosen.options.add('FORCE_SESSION_HASH')
  if (policy.sessionHash !== undefined) chosen.options.delete('NO_SESSION_HASH')
}

function hashOf(signature: string): string | undefined {
  if (signature === 'EdDSA-Ed25519') return 'SHA512'
  if (signature === 'EdDSA-Ed448') return 'SHAKE-256'
  return /(SHA3-\d+|SHA\d+|MD\d+)$/.exec(signature)?.[1]
}
