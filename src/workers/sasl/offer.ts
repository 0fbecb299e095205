import { fileTrouble, type Mechanism, type SaslInventory } from './inventory.js'
import { NO_ANONYMOUS, NO_PLAINTEXT, type SaslParameters } from './libsasl.js'

/** What a connection demands of a mechanism. */
export type Demands = Pick<SaslParameters, 'secure' | 'minSsf'>

/** What the log is told about mechanisms. */
export interface Offer {
  text: string
  /** Nobody can log in, or the configuration names what is not there. */
  faulty: boolean
}

/** Files of plugins, and Debian's packages with them. */
const PLUGINS: readonly { mechanism: RegExp; plugin: string; debian: string }[] = [
  { mechanism: /^GSS(API|-SPNEGO)$/, plugin: 'gssapiv2', debian: 'libsasl2-modules-gssapi-mit' },
  { mechanism: /^GS2-/, plugin: 'gs2', debian: 'libsasl2-modules-gssapi-mit' },
  { mechanism: /^SCRAM-/, plugin: 'scram', debian: 'libsasl2-modules' },
  { mechanism: /^DIGEST-MD5$/, plugin: 'digestmd5', debian: 'libsasl2-modules' },
  { mechanism: /^CRAM-MD5$/, plugin: 'crammd5', debian: 'libsasl2-modules' },
  { mechanism: /^(PLAIN|LOGIN|NTLM|ANONYMOUS)$/, plugin: '', debian: 'libsasl2-modules' },
  { mechanism: /^OTP$/, plugin: 'otp', debian: 'libsasl2-modules-otp' }
]

/** Features of mechanisms that look for no password of the user: tickets, and nothing at all. */
const NEEDS_NO_PASSWORD = 0x80 | 0x100
/** Where libsasl2 looks if nothing says anything else. */
const DEFAULT_DATABASE = '/etc/sasldb2'

/**
 * Which mechanisms there are, and why each of the others is not offered on such a connection. `offered`: what the
 * library says, which decides; the reasons follow the order in which it looks (`mech_permitted`).
 */
export function describeOffer(inventory: SaslInventory, offered: readonly string[], demands: Demands): Offer {
  const { option, mechanisms } = inventory
  const listed = option('mech_list')?.split(/\s+/).filter(name => name !== '').map(plainName)
  const byName = new Map(mechanisms.map(mechanism => [mechanism.name.toUpperCase(), mechanism]))
  const wanted = [...new Set(listed ?? byName.keys())].filter(name => !offered.includes(name))
  const reasons = grouped(wanted, name => {
    const mechanism = byName.get(name)
    return mechanism === undefined ? whyMissing(inventory, name) : whyUnfit(mechanism, demands)
  })
  const unlisted = listed === undefined ? [] : [...byName.keys()].filter(name => !listed.includes(name))
  return {
    text: [
      offered.length === 0 ? 'no mechanism can be offered, so nobody can log in' : `offered: ${offered.join(', ')}`,
      ...(reasons.length === 0 ? [] : [`not offered: ${reasons.join(', ')}`]),
      ...(listed === undefined ? ['libvirt.conf has no mech_list'] : []),
      ...(unlisted.length === 0 ? [] : [`there, but not in mech_list: ${unlisted.join(', ')}`])
    ].join('; '),
    faulty: offered.length === 0 || wanted.some(name => !byName.has(name))
  }
}

/** `A, B (reason)` for names that have one in common. */
function grouped(names: readonly string[], reason: (name: string) => string): string[] {
  const groups = new Map<string, string[]>()
  for (const name of names) {
    const why = reason(name)
    const group = groups.get(why)
    if (group === undefined) groups.set(why, [name])
    else group.push(name)
  }
  return [...groups].map(([why, group]) => `${group.join(', ')} (${why})`)
}

/** Why nobody who logs in with one of these mechanisms has a password here; undefined if the place can be read. */
export function passwordTrouble(inventory: SaslInventory, offered: readonly string[]): string | undefined {
  const { option, stores } = inventory
  const needing = inventory.mechanisms.filter(({ name, features, security }) => {
    if (!offered.includes(name) || (features & NEEDS_NO_PASSWORD) !== 0) return false
    // Those that are told the password can have it checked by somebody else.
    const told = (security & NO_PLAINTEXT) === 0
    return !told || (option('pwcheck_method') ?? 'auxprop').split(/\s+/).some(method => /^auxprop/i.test(method))
  })
  if (needing.length === 0) return undefined
  const why = storeTrouble(stores, option)
  return why && `no password can be found for ${needing.map(({ name }) => name).join(', ')}: ${why}`
}

function storeTrouble(stores: readonly string[], option: SaslInventory['option']): string | undefined {
  const chosen = option('auxprop_plugin')?.toLowerCase().split(/\s+/)
  const used = stores.filter(name => chosen === undefined || chosen.includes(name.toLowerCase()))
  if (used.length === 0) {
    if (chosen !== undefined && !chosen.includes('sasldb')) return `no plugin of auxprop_plugin (${chosen.join(' ')}) is loaded`
    return 'libsasldb, the plugin for the password database, is not installed or cannot be loaded (Debian: libsasl2-modules-db)'
  }
  // What other plugins know is not in a file.
  if (used.some(name => name !== 'sasldb')) return undefined
  const path = option('sasldb_path')
  const trouble = fileTrouble(path ?? DEFAULT_DATABASE)
  if (trouble === undefined) return undefined
  return path === undefined
    ? `libvirt.conf has no sasldb_path, and ${DEFAULT_DATABASE}, where passwords are then: ${trouble}`
    : `sasldb_path ${path}: ${trouble}`
}

function whyMissing({ mechanisms, loaded, option, keytabTrouble }: SaslInventory, name: string): string {
  const known = PLUGINS.find(({ mechanism }) => mechanism.test(name))
  if (known === undefined) return 'no plugin has a mechanism of this name'
  const plugin = known.plugin === '' ? name.toLowerCase() : known.plugin
  if (!loaded.has(plugin)) {
    return `its plugin lib${plugin} is not installed or cannot be loaded; Debian: ${known.debian}`
  }
  if (mechanisms.some(other => other.plugin === plugin)) return 'its plugin has no mechanism of this name'
  if (plugin === 'gssapiv2' && keytabTrouble !== undefined) {
    return `its plugin did not start for want of the keytab ${option('keytab')}: ${keytabTrouble}`
  }
  return 'its plugin did not start, and has said why in the system log'
}

function whyUnfit({ strength, security, userless }: Mechanism, { secure, minSsf }: Demands): string {
  if (!secure && strength < minSsf) {
    const has = strength === 0 ? 'it does not encrypt' : `it encrypts with ${strength} bits at most`
    return `${has}, and tcp_min_ssf asks for ${minSsf}`
  }
  if (userless) return 'its plugin has no users'
  if (!secure && (security & NO_PLAINTEXT) === 0) return 'it sends passwords in the clear'
  if (!secure && (security & NO_ANONYMOUS) === 0) return 'it lets everybody in'
  return 'its plugin says that it is not available'
}

/** What the library looks for: case does not count, and `-PLUS` is a variant. */
const plainName = (name: string): string => name.toUpperCase().replace(/(?<=.)-PLUS$/, '')
