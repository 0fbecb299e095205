/** A value that libvirt's configuration grammar knows. */
export type ConfValue = number | string | readonly string[]

/** Settings by key, as in virtproxyd.conf. */
export type Conf = Record<string, ConfValue>

/** The text of a configuration file. Strings have no escapes in this grammar, so a quote in one is refused. */
export function confText(conf: Conf): string {
  return Object.entries(conf).map(([key, value]) => `${key} = ${valueText(value)}\n`).join('')
}

function valueText(value: ConfValue): string {
  if (typeof value === 'number') return String(value)
  if (typeof value === 'string') {
    if (value.includes('"')) throw new Error(`cannot be written into a configuration file: ${value}`)
    return `"${value}"`
  }
  return `[ ${value.map(valueText).join(', ')} ]`
}
