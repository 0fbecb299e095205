import { isAbsolute } from 'node:path'
import { fitsUnixAddress } from '../../workers/os/address.js'
import { StartupError } from './startup-error.js'

/** Where records of the audit go. */
export type AuditPlace =
  | { readonly to: 'file'; readonly path: string }
  | { readonly to: 'journald' }
  /** A socket that takes datagrams. `@` begins an abstract name. */
  | { readonly to: 'unix'; readonly path: string }

/** `file:/PATH`, `journald` or `unix:/PATH`; empty is nowhere. Throws StartupError. */
export function parseAuditPlace(text: string, file: string): AuditPlace | undefined {
  if (text === '') return undefined
  if (text === 'journald') return { to: 'journald' }
  const [, to, path = ''] = /^(file|unix):(.+)$/s.exec(text) ?? []
  const known = isAbsolute(path) || (to === 'unix' && path.startsWith('@'))
  if (to === undefined || !known) {
    throw new StartupError(`unsupported configuration: ${file}: audit_output: '${text}' is not file:/PATH, journald or unix:/PATH`)
  }
  if (to === 'file') return { to, path }
  if (!fitsUnixAddress(path)) {
    throw new StartupError(`unsupported configuration: ${file}: audit_output: '${path}' does not fit a socket address`)
  }
  return { to: 'unix', path }
}

export const auditPlaceText = (place: AuditPlace): string => Object.values(place).join(':')
