import { PriorityError, type Preferences } from './interpret.js'
import { isTlsSignature } from './schemes.js'

/** Versions before TLS 1.2, and the datagram version that is as old as 1.1. */
const OLD = ['TLS1.1', 'TLS1.0', 'DTLS1.0', 'DTLS0.9']

/** Takes the versions away that do not go with the rest of what is chosen, as GnuTLS does. Throws PriorityError. */
export function settle(chosen: Preferences): void {
  const { keyExchanges, ciphers, options } = chosen
  const keep = (test: (version: string) => boolean): void => {
    chosen.versions = chosen.versions.filter(test)
    if (chosen.versions.length === 0) throw new PriorityError('no TLS version is left that is supported')
  }
  const has = (version: string): boolean => chosen.versions.includes(version)
  keep(version => version !== 'SSL3.0')
  const not13 = ciphers.includes('NULL') || options.has('NO_EXTENSIONS') || keyExchanges.some(kx => /^(SRP|RSA-PSK)/.test(kx))
  if (not13) keep(version => version !== 'TLS1.3')
  // TLS 1.3 has key exchanges of its own.
  if (chosen.versions.every(version => version === 'TLS1.3') && !keyExchanges.some(isPsk)) chosen.keyExchanges = []
  const [with12, with13, withOld] = [has('TLS1.2'), has('TLS1.3'), has('TLS1.1') || has('TLS1.0')]
  if (!chosen.signatures.some(name => isTlsSignature(name, chosen.versions))) keep(version => OLD.includes(version))
  // Servers that do not know TLS 1.3 would answer with 1.2.
  if (with13 && !with12 && withOld) keep(version => version !== 'TLS1.3')
  if (with13 && chosen.groups.length === 0 && !keyExchanges.some(isPsk)) keep(version => version !== 'TLS1.3')
}

const isPsk = (keyExchange: string): boolean => /^(PSK|DHE-PSK|ECDHE-PSK)$/.test(keyExchange)
