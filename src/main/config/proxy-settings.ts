import { AddressSet } from '../../workers/os/address-set.js'
import type { Settings } from './keys.js'
import { StartupError } from './startup-error.js'

/** `require`: every connection over TCP and TLS begins with the header of a trusted proxy. */
export type ProxyProtocol = 'off' | 'require'

/** What the configuration says of proxies. Throws StartupError. */
export function proxySettings(
  { proxyProtocol, proxyTrusted = [] }: Settings, file: string
): { proxyProtocol: ProxyProtocol; proxyTrusted: readonly string[] } {
  const refuse = (what: string): never => {
    throw new StartupError(`unsupported configuration: ${file}: ${what}`)
  }
  if (proxyProtocol !== 'off' && proxyProtocol !== 'require') return refuse(`proxy_protocol: unsupported value ${proxyProtocol}`)
  try {
    new AddressSet(proxyTrusted)
  } catch (error) {
    refuse(`proxy_trusted: '${(error as Error).message}' is no address, no range A-B and no subnet A/BITS`)
  }
  if (proxyProtocol === 'require' && proxyTrusted.length === 0) refuse('proxy_protocol = "require" lets nobody in without proxy_trusted')
  return { proxyProtocol, proxyTrusted }
}
