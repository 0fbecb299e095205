import tls from 'node:tls'
import { ConfError, EXIT } from '../config/grammar.js'
import type { TlsContext, TlsVersion } from '../../workers/tls/tls-settings.js'

/** What a `tls_priority` comes to for OpenSSL. */
export type TlsPriority = Omit<TlsContext, 'identities' | 'authorities'>

interface Choice {
  versions: Set<TlsVersion>
  /** OpenSSL cipher strings for TLS 1.2, and names of suites of TLS 1.3. */
  ciphers: string[]
  suites: string[]
  /** Undefined: OpenSSL's. */
  groups: string[] | undefined
  serverOrder: boolean
}

const AES_128 = 'TLS_AES_128_GCM_SHA256'
const AES_256 = 'TLS_AES_256_GCM_SHA384'
const CHACHA20 = 'TLS_CHACHA20_POLY1305_SHA256'

const STRONG = ['ECDHE+AESGCM+AES256', 'ECDHE+CHACHA20', 'DHE+AESGCM+AES256']

const usual = (): Choice => ({
  versions: new Set(['TLSv1.2', 'TLSv1.3']),
  ciphers: tls.DEFAULT_CIPHERS.split(':').filter(name => !name.startsWith('TLS_')),
  suites: [AES_256, CHACHA20, AES_128],
  groups: undefined,
  serverOrder: false
})
const strong = (): Choice => ({
  ...usual(),
  ciphers: [...STRONG],
  suites: [AES_256, CHACHA20],
  groups: ['P-384', 'P-521']
})
const suiteB = (ciphers: string[], groups: string[]): Choice => ({
  ...usual(),
  versions: new Set(['TLSv1.2']),
  ciphers,
  suites: [],
  groups
})

/** The keywords that a priority string begins with. Those with `@` are resolved by a file of GnuTLS's. */
const KEYWORDS: Readonly<Record<string, () => Choice>> = {
  NORMAL: usual,
  PERFORMANCE: usual,
  LEGACY: usual,
  SECURE128: usual,
  '@SYSTEM': usual,
  '@LIBVIRT,SYSTEM': usual,
  '@LIBVIRT': usual,
  SECURE192: strong,
  SECURE256: strong,
  PFS: () => ({ ...usual(), ciphers: [...usual().ciphers, '!kRSA'] }),
  SUITEB128: () => suiteB(['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'], ['P-256', 'P-384']),
  SUITEB192: () => suiteB(['ECDHE-ECDSA-AES256-GCM-SHA384'], ['P-384'])
}

/** Algorithms that can be taken away: OpenSSL's words for TLS 1.2, the suites of TLS 1.3. */
const REMOVABLE: Readonly<Record<string, { ciphers: string[]; suites: string[] }>> = {
  'AES-128-GCM': { ciphers: ['!AES128+AESGCM'], suites: [AES_128] },
  'AES-256-GCM': { ciphers: ['!AES256+AESGCM'], suites: [AES_256] },
  'CHACHA20-POLY1305': { ciphers: ['!CHACHA20'], suites: [CHACHA20] },
  'AES-128-CBC': { ciphers: ['!AES128+SHA1', '!AES128+SHA256'], suites: [] },
  'AES-256-CBC': { ciphers: ['!AES256+SHA1', '!AES256+SHA256', '!AES256+SHA384'], suites: [] },
  'AES-128-CCM': { ciphers: ['!AES128+AESCCM'], suites: [] },
  'AES-256-CCM': { ciphers: ['!AES256+AESCCM'], suites: [] },
  'CAMELLIA-128-CBC': { ciphers: ['!CAMELLIA128'], suites: [] },
  'CAMELLIA-256-CBC': { ciphers: ['!CAMELLIA256'], suites: [] },
  '3DES-CBC': { ciphers: ['!3DES'], suites: [] },
  'ARCFOUR-128': { ciphers: ['!RC4'], suites: [] },
  MD5: { ciphers: ['!MD5'], suites: [] },
  SHA1: { ciphers: ['!SHA1'], suites: [] },
  RSA: { ciphers: ['!kRSA'], suites: [] },
  'DHE-RSA': { ciphers: ['!kDHE'], suites: [] },
  'DHE-DSS': { ciphers: ['!aDSS'], suites: [] },
  'ECDHE-RSA': { ciphers: ['!kECDHE+aRSA'], suites: [] },
  'ECDHE-ECDSA': { ciphers: ['!aECDSA'], suites: [] }
}

const GROUPS: Readonly<Record<string, string>> = {
  SECP256R1: 'P-256',
  SECP384R1: 'P-384',
  SECP521R1: 'P-521',
  X25519: 'X25519',
  X448: 'X448'
}

/** Options that say nothing about what this server does anyway. */
const WITHOUT_EFFECT: readonly string[] = [
  '%NO_TICKETS',
  '%COMPAT',
  '%SAFE_RENEGOTIATION',
  '%PARTIAL_RENEGOTIATION',
  '%LATEST_RECORD_VERSION',
  '%SSL3_RECORD_VERSION'
]

/**
 * Maps a GnuTLS priority string for OpenSSL, which does not know the language. Throws a ConfError that names the item
 * for what cannot be mapped: guessing would weaken what somebody wanted strong.
 */
export function tlsPriority(text = 'NORMAL'): TlsPriority {
  const refuse = (why: string): never => {
    throw new ConfError(`Failed to set TLS session priority to ${text}: ${why}`, EXIT.network)
  }
  const [keyword = '', ...items] = text.split(':')
  const make = Object.hasOwn(KEYWORDS, keyword) ? KEYWORDS[keyword] : undefined
  if (make === undefined) return refuse(`'${keyword}' is not supported`)
  const choice = make()
  for (const item of items) if (!apply(choice, item)) refuse(`'${item}' is not supported`)
  const [first, last = first] = [...choice.versions].sort()
  if (first === undefined || last === undefined) return refuse('no TLS version is left that is supported')
  if (last === 'TLSv1.3' && choice.suites.length === 0) refuse('no cipher suite of TLS 1.3 is left')
  if (choice.groups?.length === 0) refuse('no group is left')
  return {
    minVersion: first,
    maxVersion: last,
    ciphers: choice.ciphers.join(':'),
    suites: choice.suites.join(':'),
    groups: choice.groups?.join(':'),
    serverOrder: choice.serverOrder
  }
}

/** Returns false for an item that is not known. */
function apply(choice: Choice, item: string): boolean {
  if (item.startsWith('%')) {
    if (item === '%SERVER_PRECEDENCE') choice.serverOrder = true
    return item === '%SERVER_PRECEDENCE' || WITHOUT_EFFECT.includes(item)
  }
  const [, sign, name = ''] = /^([-+!])(.+)$/.exec(item) ?? []
  if (sign === undefined) return false
  const add = sign === '+'
  if (name.startsWith('VERS-')) return applyVersion(choice, add, name.slice(5))
  const group = /^(?:GROUP|CURVE)-(.+)$/.exec(name)?.[1]
  if (group !== undefined) return applyGroup(choice, add, group)
  return !add && remove(choice, name)
}

function applyVersion({ versions }: Choice, add: boolean, name: string): boolean {
  const which = { 'TLS1.2': ['TLSv1.2'], 'TLS1.3': ['TLSv1.3'], ALL: ALL_VERSIONS, 'TLS-ALL': ALL_VERSIONS }[name]
  for (const version of (which ?? []) as TlsVersion[]) {
    if (add) versions.add(version)
    else versions.delete(version)
  }
  // Older ones are never spoken here, whatever is asked for; datagrams neither.
  return which !== undefined || /^(TLS1\.[01]|SSL3\.0|DTLS.*)$/.test(name)
}

const ALL_VERSIONS: TlsVersion[] = ['TLSv1.2', 'TLSv1.3']

function applyGroup(choice: Choice, add: boolean, name: string): boolean {
  const all = Object.values(GROUPS)
  const known = Object.hasOwn(GROUPS, name) ? GROUPS[name] : undefined
  if (known === undefined && name !== 'ALL') return !add && name.startsWith('FFDHE')
  const chosen = known === undefined ? all : [known]
  const before = (choice.groups ?? all).filter(group => !chosen.includes(group))
  choice.groups = add ? [...before, ...chosen] : before
  return true
}

function remove(choice: Choice, name: string): boolean {
  const removal = Object.hasOwn(REMOVABLE, name) ? REMOVABLE[name] : undefined
  if (removal === undefined) return false
  choice.ciphers.push(...removal.ciphers)
  choice.suites = choice.suites.filter(suite => !removal.suites.includes(suite))
  return true
}
