import { knownNames } from '../../../workers/tls/openssl-names.js'
import type { TlsContext, TlsVersion } from '../../../workers/tls/tls-settings.js'
import { PriorityError, type ListName, type Preferences } from './interpret.js'
import { schemeName } from './schemes.js'
import { names, suites12, suites13 } from './suites.js'

/** What OpenSSL is told, but for the certificates. */
export type Negotiation = Omit<TlsContext, 'identities' | 'authorities'>

const GROUPS: Readonly<Record<string, string>> = {
  SECP192R1: 'P-192',
  SECP224R1: 'P-224',
  SECP256R1: 'P-256',
  SECP384R1: 'P-384',
  SECP521R1: 'P-521',
  X25519: 'X25519',
  X448: 'X448',
  FFDHE2048: 'ffdhe2048',
  FFDHE3072: 'ffdhe3072',
  FFDHE4096: 'ffdhe4096',
  FFDHE6144: 'ffdhe6144',
  FFDHE8192: 'ffdhe8192',
  MLKEM768: 'MLKEM768',
  MLKEM1024: 'MLKEM1024',
  'X25519-MLKEM768': 'X25519MLKEM768',
  'SECP256R1-MLKEM768': 'SecP256r1MLKEM768',
  'SECP384R1-MLKEM1024': 'SecP384r1MLKEM1024'
}

/**
 * Translates for OpenSSL, as far as it has what is chosen. A version is spoken only if a cipher suite and, in TLS 1.3, a
 * group is left for it. Throws PriorityError if none is.
 */
export function negotiation(chosen: Preferences): Negotiation {
  const { options } = chosen
  const groups = groupsOf(chosen)
  const suites = groups.length > 0 ? suites13(chosen.ciphers, chosen.macs) : []
  const ciphers = olderSuites(chosen, groups)
  const spoken = (['TLSv1.2', 'TLSv1.3'] satisfies TlsVersion[]).filter(version => {
    const left = version === 'TLSv1.2' ? ciphers : suites
    return chosen.versions.includes(GNUTLS_NAME[version]) && left.length > 0 && schemesOf(chosen, [GNUTLS_NAME[version]]).length > 0
  })
  const [minVersion, maxVersion = minVersion] = spoken
  if (minVersion === undefined || maxVersion === undefined) throw new PriorityError(whyNone(chosen, { groups, suites, ciphers }))
  return {
    minVersion,
    maxVersion,
    ciphers: spoken.includes('TLSv1.2') ? ciphers.join(':') : '',
    suites: spoken.includes('TLSv1.3') ? suites.join(':') : '',
    groups: groups.length > 0 ? groups.join(':') : undefined,
    signatures: schemesOf(chosen, spoken.map(version => GNUTLS_NAME[version])).join(':'),
    serverOrder: options.has('SERVER_PRECEDENCE'),
    encryptThenMac: !options.has('NO_ETM'),
    sessionHash: options.has('FORCE_SESSION_HASH') ? 'required' : options.has('NO_SESSION_HASH') ? 'off' : 'on'
  }
}

const GNUTLS_NAME: Readonly<Record<TlsVersion, string>> = { 'TLSv1.2': 'TLS1.2', 'TLSv1.3': 'TLS1.3' }

function schemesOf({ signatures }: Preferences, versions: readonly string[]): string[] {
  const wanted = signatures.map(name => schemeName(name, versions)).filter(name => name !== undefined)
  return [...knownNames('signature', wanted)]
}

/**
 * A handshake with one of these costs 50 to 100 ms of a thread, and anybody who can connect may choose it. So they are
 * used only where somebody wants them by name.
 */
const EXPENSIVE = ['FFDHE6144', 'FFDHE8192']

function groupsOf({ groups, added }: Preferences): string[] {
  const byName = added.get('groups') ?? []
  const affordable = groups.filter(name => !EXPENSIVE.includes(name) || byName.includes(name))
  return [...knownNames('group', names(GROUPS, affordable))]
}

function olderSuites({ keyExchanges, ciphers, macs, options }: Preferences, groups: readonly string[]): string[] {
  // OpenSSL cannot insist on encrypt-then-MAC, so with that demand ciphers that need a MAC are not to be had.
  const usable = options.has('FORCE_ETM') ? macs.filter(mac => mac === 'AEAD') : macs
  const curves = groups.some(group => /^(P-\d+|X25519|X448)$/.test(group))
  const exchanges = keyExchanges.filter(name => curves || !name.startsWith('ECDHE-'))
  return [...knownNames('cipher', suites12(exchanges, ciphers, usable))]
}

/** Names what cannot be had. */
function whyNone(chosen: Preferences, had: Record<'groups' | 'suites' | 'ciphers', readonly string[]>): string {
  if (schemesOf(chosen, chosen.versions).length === 0) return `no signature is left that is supported, of ${listed(chosen.signatures)}`
  if (!chosen.versions.some(version => Object.values(GNUTLS_NAME).includes(version))) {
    return `no TLS version is left that is supported, of ${listed(chosen.versions.filter(name => name.startsWith('TLS')))}`
  }
  if (had.groups.length === 0 && had.ciphers.length === 0) return `no group is left that is supported, of ${listed(chosen.groups)}`
  return (
    `no cipher suite is left that is supported, with ${listed(chosen.ciphers)}, MAC ${listed(chosen.macs)}, ` +
    `key exchange ${listed(chosen.keyExchanges)}`
  )
}

const listed = (list: readonly string[]): string => (list.length === 0 ? 'none' : list.join(', '))

/** What was asked for by name and cannot be had, though the rest is enough. */
export function leftOut(chosen: Preferences): string[] {
  const { added, options } = chosen
  const of = (list: ListName, lacks: (name: string) => boolean): string[] =>
    (added.get(list) ?? []).filter(name => chosen[list].includes(name) && lacks(name))
  const lacksGroup = (name: string): boolean => knownNames('group', names(GROUPS, [name])).size === 0
  const lacksSignature = (name: string): boolean => schemesOf({ ...chosen, signatures: [name] }, ['TLS1.2', 'TLS1.3']).length === 0
  const lacksCipher = (name: string): boolean =>
    suites13([name], ['AEAD']).length === 0 && knownNames('cipher', suites12(['RSA', 'ECDHE-RSA'], [name], ALL_MACS)).size === 0
  const lacksVersion = (name: string): boolean => !Object.values(GNUTLS_NAME).includes(name)
  return [
    ...of('versions', lacksVersion).map(name => `VERS-${name}`),
    ...of('ciphers', lacksCipher),
    ...of('keyExchanges', name => suites12([name], ['AES-128-CBC'], ['SHA1']).length === 0),
    ...of('groups', lacksGroup).map(name => `GROUP-${name}`),
    ...of('signatures', lacksSignature).map(name => `SIGN-${name}`),
    ...(options.has('FORCE_ETM') && chosen.macs.some(mac => mac !== 'AEAD') ? ['%FORCE_ETM with ciphers that need a MAC'] : [])
  ]
}

const ALL_MACS = ['AEAD', 'SHA1', 'SHA256', 'SHA384', 'MD5']
