import { readFile } from 'node:fs/promises'
import { ConfError, EXIT } from './config/grammar.js'

/** `tcp_port` and `tls_port` may be a number or the name of a TCP service (services(5)). Throws ConfError. */
export async function servicePort(port: string): Promise<number> {
  if (/^\d+$/.test(port) && Number(port) <= 65535) return Number(port)
  const services = await readFile('/etc/services', 'utf8').catch(() => '')
  for (const line of services.split('\n')) {
    const [name, place = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/)
    const [number, protocol] = place.split('/')
    if (protocol === 'tcp' && (name === port || aliases.includes(port))) return Number(number)
  }
  throw new ConfError(`Unable to resolve address port '${port}': Servname not supported for ai_socktype`, EXIT.network)
}
