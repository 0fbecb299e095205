import { DOMAIN } from '../../../protocol/errors.js'
import { invalidArg, xmlFailure } from '../failures.js'
import { attribute, find, textOf, type XmlElement } from './xml.js'

const POWERS = 'kmgtpe'

/** Bytes in one `unit` (`virScaleInteger`): `KiB` and `k` are 1024, `KB` is 1000. Throws libvirt's error. */
export function unitBytes(unit: string): bigint {
  const lower = unit.toLowerCase()
  if (lower === '' || lower === 'b' || lower === 'byte' || lower === 'bytes') return 1n
  const power = POWERS.indexOf(lower[0]!) + 1
  const rest = lower.slice(1)
  if (power > 0 && (rest === '' || rest === 'ib')) return 1024n ** BigInt(power)
  if (power > 0 && rest === 'b') return 1000n ** BigInt(power)
  throw invalidArg(`unknown suffix '${unit}'`, DOMAIN.none)
}

/**
 * A size in bytes from the child `name`, or undefined if there is none. `defaultUnit` is what a bare number counts.
 */
export function scaledSize(of: XmlElement, name: string, defaultUnit: string): bigint | undefined {
  const child = find(of, name)
  const text = child && textOf(child).trim()
  if (!child || !text) return undefined
  if (!/^\+?\d+$/.test(text))
    throw xmlFailure(`Invalid value '${text}' for element or attribute './${name}[1]'`, DOMAIN.none)
  return BigInt(text) * unitBytes(attribute(child, 'unit') ?? defaultUnit)
}

/** Bytes rounded up to whole KiB, the unit of all memory figures. */
export const toKib = (bytes: bigint): bigint => (bytes + 1023n) / 1024n
