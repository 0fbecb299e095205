import { ALL } from './names.js'
import type { Profile } from './profiles.js'

/** What a keyword such as `NORMAL` puts into the lists of algorithms, in the order of preference. */
export interface Level {
  readonly versions?: readonly string[]
  readonly ciphers: readonly string[]
  readonly macs: readonly string[]
  readonly keyExchanges: readonly string[]
  readonly groups: readonly string[]
  readonly signatures: readonly string[]
  /** How strong certificates must be. */
  readonly profile?: Profile
}

const LEGACY: Level = {
  ciphers: ALL.ciphers,
  macs: ALL.macs,
  keyExchanges: ALL.keyExchanges,
  groups: ALL.groups,
  signatures: ALL.signatures
}

const NORMAL: Level = { ...LEGACY, profile: 'LOW' }

const without = (list: readonly string[], pattern: RegExp): readonly string[] => list.filter(name => !pattern.test(name))

const SECURE128: Level = {
  ...NORMAL,
  ciphers: [
    'AES-256-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC', 'AES-256-CCM', 'AES-128-GCM', 'AES-128-CBC', 'AES-128-CCM'
  ],
  signatures: without(ALL.signatures, /-SHA1$|^ML-DSA/)
}

const SECURE192: Level = {
  ...NORMAL,
  ciphers: ['AES-256-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC', 'AES-256-CCM'],
  macs: ['AEAD'],
  groups: ['SECP384R1', 'SECP521R1', 'FFDHE8192'],
  signatures: without(SECURE128.signatures, /SHA256$|Ed25519$/),
  profile: 'HIGH'
}

const SUITEB128: Level = {
  versions: ['TLS1.2'],
  ciphers: ['AES-256-GCM', 'AES-128-GCM'],
  macs: ['AEAD'],
  keyExchanges: ['ECDHE-ECDSA'],
  groups: ['SECP256R1', 'SECP384R1'],
  signatures: ['ECDSA-SHA256', 'ECDSA-SECP256R1-SHA256', 'ECDSA-SHA384', 'ECDSA-SECP384R1-SHA384'],
  profile: 'SUITEB128'
}

const LEVELS: Readonly<Record<string, Level>> = {
  NORMAL,
  PFS: { ...NORMAL, keyExchanges: without(NORMAL.keyExchanges, /^RSA$/) },
  SECURE: SECURE128,
  SECURE128,
  SECURE192,
  SECURE256: SECURE192,
  SUITEB128,
  SUITEB192: {
    ...SUITEB128,
    ciphers: ['AES-256-GCM'],
    groups: ['SECP384R1'],
    signatures: ['ECDSA-SHA384', 'ECDSA-SECP384R1-SHA384'],
    profile: 'SUITEB192'
  },
  LEGACY,
  PERFORMANCE: {
    ...NORMAL,
    ciphers: [
      'AES-128-GCM', 'AES-256-GCM', 'CHACHA20-POLY1305', 'AES-128-CCM', 'AES-256-CCM', 'AES-128-CBC', 'AES-256-CBC'
    ],
    keyExchanges: ['RSA', 'ECDHE-ECDSA', 'ECDHE-RSA', 'DHE-RSA']
  }
}

export function findLevel(name: string): Level | undefined {
  const key = name.toUpperCase()
  return Object.hasOwn(LEVELS, key) ? LEVELS[key] : undefined
}
