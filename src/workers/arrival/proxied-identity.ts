import { MSG_DONTWAIT, MSG_NOSIGNAL, sendBytes } from '../os/libc.js'
import type { ListenerKind } from '../os/listener-kind.js'
import type { ProxiedTlsSettings } from '../thread/settings.js'
import { ClientCheck, CONFIRMATION } from '../tls/client-check.js'
import { VERIFY } from '../tls/presented.js'
import { RevokedSerials } from '../tls/revoked-serials.js'
import type { ArrivingClient, Found } from './arriving-client.js'
import { certified } from './certified.js'
import type { ProxiedTls } from './proxy-header.js'

/** The proxy has checked how strong it is. */
const ANY_STRENGTH = { rsaBits: 0, curveBits: 0, digestBits: 0, sha1: true, md5: true, suiteB: undefined }

/**
 * Who a client is whose TLS connection ends at a trusted proxy: the proxy has checked the certificate's chain, its dates and
 * name are checked here. From then on the client counts as one of the TLS listener.
 */
export class ProxiedIdentity {
  readonly #check: ClientCheck
  readonly #auth: ListenerKind['auth']

  constructor({ auth, allowedNames }: ProxiedTlsSettings) {
    this.#auth = auth
    this.#check = new ClientCheck({ allowedNames, least: ANY_STRENGTH, revoked: RevokedSerials.share([]) })
  }

  /** The reason, if the client must go. To one that may stay the byte is sent that confirms it. */
  judge(client: ArrivingClient, { showedCertificate, verified, certificate }: ProxiedTls): Found | { readonly refusal: string } {
    const der = showedCertificate && verified ? certificate : undefined
    const found = certified(client, this.#check.judge({
      verification: () => der && { code: VERIFY.ok, text: '' },
      subject: () => Buffer.alloc(0),
      certificates: () => (der === undefined ? [] : [der])
    }))
    if ('refusal' in found) return found
    sendBytes(client.fd, CONFIRMATION, CONFIRMATION.length, MSG_DONTWAIT | MSG_NOSIGNAL)
    return { ...found, listener: { ...client.listener, transport: 'tls', auth: this.#auth } }
  }
}
