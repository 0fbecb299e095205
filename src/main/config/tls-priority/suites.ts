/** Cipher suites: OpenSSL's names for what GnuTLS's lists of key exchanges, ciphers and MACs come to. */

const SUITES_13: Readonly<Record<string, string>> = {
  'AES-128-GCM': 'TLS_AES_128_GCM_SHA256',
  'AES-256-GCM': 'TLS_AES_256_GCM_SHA384',
  'CHACHA20-POLY1305': 'TLS_CHACHA20_POLY1305_SHA256',
  'AES-128-CCM': 'TLS_AES_128_CCM_SHA256',
  'AES-128-CCM-8': 'TLS_AES_128_CCM_8_SHA256'
}

/** In the names of suites before TLS 1.3. Of ciphers that authenticate, the whole end of the name. */
const AUTHENTICATING: Readonly<Record<string, string>> = {
  'AES-128-GCM': 'AES128-GCM-SHA256',
  'AES-256-GCM': 'AES256-GCM-SHA384',
  'CHACHA20-POLY1305': 'CHACHA20-POLY1305',
  'AES-128-CCM': 'AES128-CCM',
  'AES-256-CCM': 'AES256-CCM',
  'AES-128-CCM-8': 'AES128-CCM8',
  'AES-256-CCM-8': 'AES256-CCM8'
}
const WITH_MAC: Readonly<Record<string, string>> = {
  'AES-128-CBC': 'AES128',
  'AES-256-CBC': 'AES256',
  'CAMELLIA-128-CBC': 'CAMELLIA128',
  'CAMELLIA-256-CBC': 'CAMELLIA256',
  '3DES-CBC': 'DES-CBC3',
  'ARCFOUR-128': 'RC4'
}
const MACS: Readonly<Record<string, string>> = { SHA1: 'SHA', SHA256: 'SHA256', SHA384: 'SHA384', MD5: 'MD5' }
const EXCHANGES: Readonly<Record<string, string>> = {
  'ECDHE-ECDSA': 'ECDHE-ECDSA-',
  'ECDHE-RSA': 'ECDHE-RSA-',
  RSA: '',
  'DHE-RSA': 'DHE-RSA-',
  'DHE-DSS': 'DHE-DSS-'
}

export const suites13 = (ciphers: readonly string[], macs: readonly string[]): string[] =>
  macs.includes('AEAD') ? names(SUITES_13, ciphers) : []

/** By key exchange, then by cipher, then by MAC: GnuTLS's order. Not all of the names are those of a suite. */
export function suites12(keyExchanges: readonly string[], ciphers: readonly string[], macs: readonly string[]): string[] {
  return names(EXCHANGES, keyExchanges).flatMap(exchange =>
    ciphers.flatMap(cipher => macs.map(mac => ending(cipher, mac)).filter(end => end !== undefined).map(end => exchange + end))
  )
}

function ending(cipher: string, mac: string): string | undefined {
  if (mac === 'AEAD') return names(AUTHENTICATING, [cipher])[0]
  const [first, last] = [names(WITH_MAC, [cipher])[0], names(MACS, [mac])[0]]
  return first !== undefined && last !== undefined ? `${first}-${last}` : undefined
}

export const names = (table: Readonly<Record<string, string>>, keys: readonly string[]): string[] =>
  keys.filter(key => Object.hasOwn(table, key)).map(key => table[key]!)
