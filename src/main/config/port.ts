import { readFile } from 'node:fs/promises'
import { EXIT, StartupError } from './startup-error.js'

/** What the system's resolver says of a host that it does not know. */
export const UNKNOWN_NAME = 'Name or service not known'

/** The number that a text is; `none` for a number that no port has, undefined for what may be the name of a service. */
export function portNumber(text: string): number | 'none' | undefined {
  if (!/^\s*\+?\d*$/.test(text)) return undefined
  const number = Number(text)
  return text.trim() === '' || !(number <= 65535) ? 'none' : number
}

export const badPort = (port: string): StartupError =>
  new StartupError(`Unable to resolve address port '${port}': Servname not supported for ai_socktype`, EXIT.network)

/** `tcp_port` and `tls_port` may be a number or the name of a TCP service (services(5)). Throws StartupError. */
export async function servicePort(port: string): Promise<number> {
  const number = portNumber(port)
  if (typeof number === 'number') return number
  const services = await readFile('/etc/services', 'utf8').catch(() => '')
  for (const line of services.split('\n')) {
    const [name, place = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/)
    const [service, protocol] = place.split('/')
    if (protocol === 'tcp' && (name === port || aliases.includes(port))) return Number(service)
  }
  throw badPort(port)
}
