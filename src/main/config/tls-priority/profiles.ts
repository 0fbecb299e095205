import type { LeastStrength } from '../../../workers/tls/strength.js'

/** Names of GnuTLS's verification profiles, from weak to strong. */
export const PROFILES = [
  'VERY_WEAK', 'LOW', 'LEGACY', 'MEDIUM', 'HIGH', 'ULTRA', 'FUTURE', 'SUITEB128', 'SUITEB192'
] as const

export type Profile = (typeof PROFILES)[number]

type Bits = Pick<LeastStrength, 'rsaBits' | 'curveBits' | 'digestBits'>

/** What each asks of a key and of the digest in a signature, in bits (of a digest: half of its length). */
const BITS: Readonly<Record<Exclude<Profile, 'SUITEB128' | 'SUITEB192'>, Bits>> = {
  VERY_WEAK: { rsaBits: 767, curveBits: 0, digestBits: 64 },
  LOW: { rsaBits: 1024, curveBits: 160, digestBits: 80 },
  LEGACY: { rsaBits: 1776, curveBits: 192, digestBits: 96 },
  MEDIUM: { rsaBits: 2048, curveBits: 224, digestBits: 112 },
  HIGH: { rsaBits: 3072, curveBits: 256, digestBits: 128 },
  ULTRA: { rsaBits: 8192, curveBits: 384, digestBits: 192 },
  FUTURE: { rsaBits: 15360, curveBits: 512, digestBits: 256 }
}

const NONE: Bits = { rsaBits: 0, curveBits: 0, digestBits: 0 }

/** `options`: those of the priority string. Without a profile only digests that are known to be weak are refused. */
export function leastStrength(profile: Profile | undefined, options: ReadonlySet<string>): LeastStrength {
  const suiteB = profile === 'SUITEB128' ? 128 : profile === 'SUITEB192' ? 192 : undefined
  const everything = options.has('VERIFY_ALLOW_BROKEN')
  return {
    ...(profile === undefined || profile === 'SUITEB128' || profile === 'SUITEB192' ? NONE : BITS[profile]),
    suiteB,
    md5: everything || options.has('VERIFY_ALLOW_SIGN_RSA_MD5'),
    sha1: everything || options.has('VERIFY_ALLOW_SIGN_WITH_SHA1')
  }
}

/** Of two profiles the weaker one, as where several keywords are put together. */
export const weaker = (one: Profile | undefined, other: Profile): Profile =>
  one === undefined || PROFILES.indexOf(other) < PROFILES.indexOf(one) ? other : one

export const stronger = (one: Profile | undefined, other: Profile): Profile =>
  one === undefined || PROFILES.indexOf(other) > PROFILES.indexOf(one) ? other : one
