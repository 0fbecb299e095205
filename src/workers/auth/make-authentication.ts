import type { Actor } from '../actor/actor.js'
import type { Applicant, Authentication } from './authentication.js'
import { noAuthentication } from './none.js'
import { endpoint, type IpEndpoint } from '../os/address.js'
import type { SaslParameters } from '../sasl/libsasl.js'
import { SaslLayer } from '../sasl/sasl-layer.js'
import { TlsTransport } from '../tls/tls-transport.js'
import type { Transport } from '../transport/transport.js'
import { PolkitAuthentication } from './polkit.js'
import { SaslAuthentication } from './sasl.js'

/** The method of the listener that the client came by. */
export function makeAuthentication(applicant: Applicant, actor: Actor, transport: Transport): Authentication {
  switch (applicant.record.listener.auth) {
    case 'polkit':
      return new PolkitAuthentication(applicant, actor.polkit)
    case 'sasl': {
      const layer = transport instanceof SaslLayer ? transport : undefined
      return new SaslAuthentication(applicant, actor.sasl, layer, saslParameters(applicant, transport))
    }
    default:
      return noAuthentication
  }
}

/** For a UNIX socket both addresses are those of the host itself. */
const LOCAL: IpEndpoint = { ip: '127.0.0.1', port: 0 }

function saslParameters({ record, fd, actor }: Applicant, transport: Transport): SaslParameters {
  const address = (which: 'local' | 'peer'): string => {
    const { ip, port } = (record.listener.transport === 'unix' ? undefined : endpoint(fd, which)) ?? LOCAL
    return `${ip};${port}`
  }
  return {
    local: address('local'),
    remote: address('peer'),
    secure: !(transport instanceof SaslLayer),
    minSsf: actor.settings.tcpMinSsf,
    externalSsf: transport instanceof TlsTransport ? transport.cipherBits : 0
  }
}
