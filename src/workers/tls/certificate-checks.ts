import { USAGE, type Certificate } from './certificate.js'

export type Role = 'client' | 'server' | 'CA'

/** What is wrong with a certificate, in libvirt's words. What is not `fatal` is worth a warning. */
export interface Finding {
  readonly text: string
  readonly fatal: boolean
}

const SERVER_PURPOSE = '1.3.6.1.5.5.7.3.1'
const CLIENT_PURPOSE = '1.3.6.1.5.5.7.3.2'
const ANY_PURPOSE = '2.5.29.37.0'

/**
 * The checks of libvirt's virNetTLSContextCheckCert on one certificate, beside those of the chain. `label` stands for
 * the certificate in the texts.
 */
export function findings(certificate: Certificate, label: string, role: Role, now: number): Finding[] {
  const dates = dateFinding(certificate, label, role, now)
  return [
    ...(dates === undefined ? [] : [dates]),
    ...constraintFindings(certificate, label, role),
    ...usageFindings(certificate, label, role),
    ...purposeFindings(certificate, label, role)
  ]
}

export function dateFinding(certificate: Certificate, label: string, role: Role, now: number): Finding | undefined {
  if (certificate.notAfter < now) return fatal(`The ${role} certificate ${label} has expired`)
  if (certificate.notBefore > now) return fatal(`The ${role} certificate ${label} is not yet active`)
  return undefined
}

const fatal = (text: string): Finding => ({ text, fatal: true })

function constraintFindings({ isAuthority }: Certificate, label: string, role: Role): Finding[] {
  if (role === 'CA') {
    if (isAuthority === undefined) return [fatal(`The certificate ${label} is missing basic constraints for a CA`)]
    return isAuthority ? [] : [fatal(`The certificate ${label} basic constraints do not show a CA`)]
  }
  if (isAuthority !== true) return []
  return [fatal(`The certificate ${label} basic constraints show a CA, but we need one for a ${role}`)]
}

/** Without the extension everything is allowed; one that is not critical only advises. */
function usageFindings({ keyUsage, isRsa }: Certificate, label: string, role: Role): Finding[] {
  if (keyUsage === undefined) return []
  const { bits, critical } = keyUsage
  const missing = (what: string): Finding => ({ text: `Certificate ${label} usage does not permit ${what}`, fatal: critical })
  if (role === 'CA') return bits & USAGE.keyCertSign ? [] : [missing('certificate signing')]
  return [
    ...(bits & USAGE.digitalSignature ? [] : [missing('digital signature')]),
    // Keys of other kinds than RSA cannot encipher anything, and TLS never asks them to.
    ...(bits & USAGE.keyEncipherment || !isRsa ? [] : [missing('key encipherment')])
  ]
}

function purposeFindings({ purposes }: Certificate, label: string, role: Role): Finding[] {
  if (purposes === undefined || role === 'CA') return []
  const wanted = role === 'client' ? CLIENT_PURPOSE : SERVER_PURPOSE
  const other = role === 'client' ? SERVER_PURPOSE : CLIENT_PURPOSE
  // libvirt's reading: a purpose that it does not know stands for every use, except "any", which stands for none.
  if (purposes.oids.some(oid => oid === wanted || (oid !== other && oid !== ANY_PURPOSE))) return []
  return [
    { text: `Certificate ${label} purpose does not allow use for with a TLS ${role}`, fatal: purposes.critical }
  ]
}
