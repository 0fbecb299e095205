import { findLevel, type Level } from './levels.js'
import {
  ALL, CIPHERS, CURVES, findName, FUTURE_GROUP, FUTURE_SIGNATURE, GROUPS, KEY_EXCHANGES, MACS, OPTIONS, SIGNATURES, VERSIONS
} from './names.js'
import { PROFILES, weaker, type Profile } from './profiles.js'

/** What a priority string chooses: names of GnuTLS's, in the order of preference. */
export interface Preferences {
  versions: string[]
  ciphers: string[]
  macs: string[]
  keyExchanges: string[]
  groups: string[]
  signatures: string[]
  options: Set<string>
  profile: Profile | undefined
  /** What was added one by one, by the string itself and not by what the host puts into it. */
  added: Map<ListName, string[]>
}

export type ListName = 'versions' | 'ciphers' | 'macs' | 'keyExchanges' | 'groups' | 'signatures'

/** Something in a priority string that GnuTLS would not take either. */
export class PriorityError extends Error {
  override name = 'PriorityError'
}

/** GnuTLS reads no more of them, and says nothing about the others. */
const MAX_ITEMS = 128

/**
 * Reads a priority string by GnuTLS's grammar: items between colons, each of them a keyword (`NORMAL`), `+`, `-` or `!`
 * with a keyword or an algorithm, or `%` with an option. The first `fromHost` of them are the host's. Throws
 * PriorityError.
 */
export function interpret(text: string, fromHost = 0): Preferences {
  const items = text.trimStart().split(':').map((item, index) => (index === 0 ? item : item.replace(/^ +/, '')))
  const chosen = emptyPreferences()
  const fromNothing = items[0]!.toUpperCase() === 'NONE'
  if (!fromNothing) {
    chosen.versions = [...ALL.versions]
    chosen.signatures = [...ALL.signatures]
    chosen.groups = [...ALL.groups]
  }
  // The first keyword replaces what is chosen by default, later ones add to it.
  let adds = fromNothing
  for (const [index, item] of items.slice(0, MAX_ITEMS).entries()) {
    if (index === 0 && fromNothing) continue
    const level = findLevel(item)
    if (level !== undefined) {
      applyLevel(chosen, level, adds)
      adds = true
    } else if (!applyItem(chosen, item)) throw new PriorityError(`'${item}' is not supported`)
    if (index < fromHost) chosen.added.clear()
  }
  return chosen
}

function emptyPreferences(): Preferences {
  return {
    versions: [], ciphers: [], macs: [], keyExchanges: [], groups: [], signatures: [],
    options: new Set(),
    profile: undefined,
    added: new Map()
  }
}

function applyLevel(chosen: Preferences, level: Level, adds: boolean): void {
  for (const list of ['versions', 'ciphers', 'macs', 'keyExchanges', 'groups', 'signatures'] as const) {
    const names = level[list]
    if (names !== undefined) chosen[list] = adds ? union(chosen[list], names) : [...names]
  }
  if (level.profile !== undefined) chosen.profile = weaker(chosen.profile, level.profile)
}

const union = (list: readonly string[], more: readonly string[]): string[] => [...new Set([...list, ...more])]

/** Returns false for what is not understood. */
function applyItem(chosen: Preferences, item: string): boolean {
  const name = item.slice(1)
  switch (item[0]) {
    case '+': {
      const level = findLevel(name)
      if (level !== undefined) applyLevel(chosen, level, true)
      return level !== undefined || applyName(chosen, name, true)
    }
    case '-':
    case '!':
      return applyName(chosen, name, false)
    case '%':
      return applyOption(chosen, name)
    default:
      return false
  }
}

/** Of what `%COMPAT` leaves out for old peers, this much concerns a server here. */
const COMPOUND: Partial<Record<string, readonly string[]>> = { COMPAT: ['NO_ETM', 'NO_SESSION_HASH'] }

/** Options are the only words whose case matters. */
function applyOption(chosen: Preferences, name: string): boolean {
  const profile = PROFILES.find(candidate => name === `PROFILE_${candidate}`)
  // As in GnuTLS, where both options of Suite B ask for the same.
  if (profile !== undefined) chosen.profile = profile === 'SUITEB192' ? 'SUITEB128' : profile
  else if (OPTIONS.includes(name)) for (const option of COMPOUND[name] ?? [name]) chosen.options.add(option)
  else return false
  return true
}

function applyName(chosen: Preferences, name: string, add: boolean): boolean {
  for (const [list, known] of [['macs', MACS], ['ciphers', CIPHERS], ['keyExchanges', KEY_EXCHANGES]] as const) {
    const found = findName(known, name)
    if (found !== undefined) return applyOne(chosen, list, found, add)
  }
  const family = FAMILIES.find(({ prefix }) => startsWith(name, prefix))
  return family !== undefined && family.apply(chosen, name.slice(family.prefix.length), add)
}

const startsWith = (name: string, prefix: string): boolean => name.slice(0, prefix.length).toUpperCase() === prefix

function applyOne(chosen: Preferences, list: ListName, name: string, add: boolean): true {
  if (!add) chosen[list] = chosen[list].filter(other => other !== name)
  else {
    chosen[list] = union(chosen[list], [name])
    chosen.added.set(list, union(chosen.added.get(list) ?? [], [name]))
  }
  return true
}

/** A word for many algorithms. Taken away, `whole` words empty the list, others take away what they stand for. */
interface Bulk {
  word: string
  adds: readonly string[]
  whole?: boolean
  removes?: readonly string[]
}

/** Algorithms whose names share a prefix. */
interface Family {
  prefix: string
  apply(chosen: Preferences, rest: string, add: boolean): boolean
}

function family(prefix: string, list: ListName, bulks: readonly Bulk[], find: (name: string) => string | undefined): Family {
  return {
    prefix,
    apply(chosen, rest, add) {
      // GnuTLS looks at the beginning only.
      const bulk = bulks.find(({ word }) => startsWith(rest, word))
      if (bulk !== undefined) return applyBulk(chosen, list, bulk, add)
      const name = find(rest)
      return name !== undefined && (name === '' || applyOne(chosen, list, name, add))
    }
  }
}

function applyBulk(chosen: Preferences, list: ListName, { adds, whole, removes = adds }: Bulk, add: boolean): true {
  if (add) chosen[list] = union(chosen[list], adds)
  else chosen[list] = whole === true ? [] : chosen[list].filter(name => !removes.includes(name))
  return true
}

const DATAGRAM_AND_OLDER = [...ALL.datagramVersions, 'DTLS0.9']
const all = (adds: readonly string[], word = 'ALL'): Bulk => ({ word, adds, whole: true })

const findGroup = (name: string): string | undefined =>
  findName(GROUPS, name) ?? (FUTURE_GROUP.test(name) ? name.toUpperCase() : undefined)
const findSignature = (name: string): string | undefined =>
  findName(SIGNATURES, name) ?? (FUTURE_SIGNATURE.test(name) ? name.toUpperCase() : undefined)
/** A curve that no group goes with has no effect. */
const findCurve = (name: string): string | undefined => {
  const curve = findName(CURVES, name)
  return curve === undefined ? undefined : (findName(GROUPS, curve) ?? '')
}
const CERTIFICATE_TYPE = /^(ALL|OPENPGP|(CLI-|SRV-)?(X\.?509|RAWPK)$|(CLI|SRV)-ALL)/i
/** GnuTLS takes any word after these prefixes, and only those with `ALL` mean something. */
const anything = (): string => ''

/** In the order in which GnuTLS looks for them: of two prefixes that fit the first counts. */
const FAMILIES: readonly Family[] = [
  family('VERS-', 'versions', [
    { word: 'TLS-ALL', adds: ALL.streamVersions },
    { word: 'DTLS-ALL', adds: ALL.datagramVersions, removes: DATAGRAM_AND_OLDER },
    all(ALL.versions)
  ], name => findName(VERSIONS, name)),
  { prefix: 'COMP-', apply: () => true },
  family('CURVE-', 'groups', [all(ALL.groups)], findCurve),
  family('GROUP-', 'groups', [
    all(ALL.groups),
    { word: 'DH-ALL', adds: ALL.finiteFields },
    { word: 'EC-ALL', adds: ALL.curveGroups },
    { word: 'GOST-ALL', adds: ALL.gostGroups }
  ], findGroup),
  // Certificates of other kinds than X.509 may be allowed, and are never used by libvirt.
  { prefix: 'CTYPE-', apply: (_chosen, rest) => CERTIFICATE_TYPE.test(rest) },
  family('SIGN-', 'signatures', [all(ALL.signatures), all(ALL.gostSignatures, 'GOST-ALL')], findSignature),
  family('MAC-', 'macs', [all(ALL.macs), all(ALL.gostMacs, 'GOST-ALL')], anything),
  family('CIPHER-', 'ciphers', [all(ALL.ciphers), all(ALL.gostCiphers, 'GOST-ALL')], anything),
  family('KX-', 'keyExchanges', [all(ALL.keyExchanges), all(ALL.gostKeyExchanges, 'GOST-ALL')], anything),
  { prefix: 'GOST', apply: applyGost }
]

function applyGost(chosen: Preferences, _rest: string, add: boolean): boolean {
  applyBulk(chosen, 'groups', { word: '', adds: ALL.gostGroups }, add)
  applyBulk(chosen, 'signatures', all(ALL.gostSignatures), add)
  applyBulk(chosen, 'macs', all(ALL.gostMacs), add)
  applyBulk(chosen, 'ciphers', all(ALL.gostCiphers), add)
  return applyBulk(chosen, 'keyExchanges', all(ALL.gostKeyExchanges), add)
}
