import type { Applicant, Authentication, AuthServices } from './authentication.js'
import { noAuthentication } from './none.js'
import { endpoint, endpointIn, type IpEndpoint } from '../os/address.js'
import type { ClientRecord } from '../thread/client-record.js'
import type { SaslParameters } from '../sasl/libsasl.js'
import { SaslLayer } from '../sasl/sasl-layer.js'
import { TlsTransport } from '../tls/tls-transport.js'
import type { Transport } from '../transport/transport.js'
import { PolkitAuthentication } from './polkit.js'
import { SaslAuthentication } from './sasl.js'

/** The method of the listener that the client came by. `fd`: its socket. */
export function makeAuthentication(
  applicant: Applicant,
  fd: number,
  services: AuthServices,
  transport: Transport
): Authentication {
  const { listener } = applicant.record
  switch (listener.auth) {
    case 'polkit':
      return new PolkitAuthentication(applicant, services.polkit)
    case 'sasl': {
      const layer = transport instanceof SaslLayer ? transport : undefined
      const { tcpMinSsf } = services.thread.settings
      const parameters = saslParameters(applicant.record, fd, tcpMinSsf, transport)
      return new SaslAuthentication(applicant, services, layer, parameters)
    }
    default:
      return noAuthentication
  }
}

const written = ({ ip, port }: IpEndpoint): string => `${ip};${port}`

/** For a UNIX socket both addresses are those of the host itself. */
const LOCAL: IpEndpoint = { ip: '127.0.0.1', port: 0 }

function saslParameters(
  { listener, peer, via }: ClientRecord, fd: number, minSsf: number, transport: Transport
): SaslParameters {
  const address = (which: 'local' | 'peer'): IpEndpoint => (listener.transport === 'unix' ? undefined : endpoint(fd, which)) ?? LOCAL
  const client = via === undefined || peer === undefined ? address('peer') : endpointIn(peer)
  return {
    local: written(address('local')),
    remote: written(client),
    secure: !(transport instanceof SaslLayer),
    minSsf,
    externalSsf: transport instanceof TlsTransport ? transport.cipherBits : 0
  }
}
