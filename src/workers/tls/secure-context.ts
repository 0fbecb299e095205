import {
  CTRL,
  firstError,
  MODE,
  openssl,
  OPTION,
  PURPOSE_ANY,
  V_FLAG_PARTIAL_CHAIN,
  VERIFY_PEER,
  VERSION
} from '../os/openssl.js'
import { chainVerification } from './chain-verification.js'
import type { TlsContext, TlsIdentity } from './tls-settings.js'

/**
 * No renegotiation, no compression, and no session tickets, as with libvirt's own daemons: every connection has a
 * handshake of its own, in which the certificate is looked at by the rules of that moment. libvirt's clients never
 * resume, and fail where a ticket comes before the confirmation byte.
 */
const OPTIONS = OPTION.noRenegotiation | OPTION.noCompression | OPTION.noTicket
/** Idle connections keep no buffers. */
const MODES = MODE.partialWrite | MODE.movingWriteBuffer | MODE.releaseBuffers

/** An `SSL_CTX` for the server's side. Connections made from it keep what they need of it alive. */
export class SecureContext {
  readonly pointer: number
  /** Whether a connection of TLS 1.2 must have bound its secrets to the handshake. */
  readonly needsSessionHash: boolean

  /** Throws an Error with OpenSSL's words for what it cannot work with. */
  constructor(context: TlsContext) {
    const ssl = openssl()
    ssl.ERR_clear_error()
    this.pointer = ssl.SSL_CTX_new(ssl.TLS_server_method())
    this.needsSessionHash = context.sessionHash === 'required'
    try {
      this.#setUp(context)
    } catch (error) {
      this.free()
      throw error
    }
  }

  /** Call it once. Connections go on. */
  free(): void {
    openssl().SSL_CTX_free(this.pointer)
  }

  #setUp(context: TlsContext): void {
    const ssl = openssl()
    const ctx = this.pointer
    const { minVersion, maxVersion, ciphers, suites, groups, signatures } = context
    // All strengths are named: those of the handshake here, those of certificates in strength.ts. OpenSSL's levels
    // would come on top, and differ from release to release.
    ssl.SSL_CTX_set_security_level(ctx, 0)
    ssl.SSL_CTX_set_options(ctx, OPTIONS | optionsOf(context))
    // They could not be looked over before they are unpacked.
    ssl.SSL_CTX_set_options(ctx, OPTION.noCompressedCertificates)
    ssl.SSL_CTX_ctrl(ctx, CTRL.mode, MODES, 0)
    ssl.SSL_CTX_ctrl(ctx, CTRL.sessionCacheMode, 0, 0)
    ssl.SSL_CTX_set_num_tickets(ctx, 0)
    must(ssl.SSL_CTX_ctrl(ctx, CTRL.minProtoVersion, VERSION[minVersion], 0), 'TLS version')
    must(ssl.SSL_CTX_ctrl(ctx, CTRL.maxProtoVersion, VERSION[maxVersion], 0), 'TLS version')
    if (ciphers !== '') must(ssl.SSL_CTX_set_cipher_list(ctx, ciphers), 'ciphers')
    must(ssl.SSL_CTX_set_ciphersuites(ctx, suites), 'cipher suites')
    if (groups !== undefined) must(ssl.SSL_CTX_set1_list(ctx, CTRL.groupsList, 0, groups), 'groups')
    must(ssl.SSL_CTX_set1_list(ctx, CTRL.signatureList, 0, signatures), 'signatures')
    // A prime as strong as our certificate, for key exchanges over finite fields in TLS 1.2.
    ssl.SSL_CTX_ctrl(ctx, CTRL.dhAuto, 1, 0)
    for (const identity of context.identities) this.#addIdentity(identity)
    // Any certificate of the list may end a chain, and purposes are looked at by libvirt's rule: as GnuTLS has it.
    const store = ssl.SSL_CTX_get_cert_store(ctx)
    ssl.X509_STORE_set_flags(store, V_FLAG_PARTIAL_CHAIN)
    ssl.SSL_CTX_set_purpose(ctx, PURPOSE_ANY)
    ssl.SSL_CTX_set_verify(ctx, VERIFY_PEER, 0)
    ssl.SSL_CTX_set_cert_verify_callback(ctx, chainVerification(), 0)
    for (const pem of context.authorities) {
      // Their names are not sent: a client would keep a certificate of another authority to itself, and nobody would
      // know from the log whom to help.
      withCertificate(pem, x509 => must(ssl.X509_STORE_add_cert(store, x509), 'CA certificate'))
    }
  }

  #addIdentity({ chain, key }: TlsIdentity): void {
    const ssl = openssl()
    for (const [index, pem] of chain.entries()) {
      withCertificate(pem, x509 => {
        if (index === 0) must(ssl.SSL_CTX_use_certificate(this.pointer, x509), 'certificate')
        else must(ssl.SSL_CTX_ctrl(this.pointer, CTRL.chainCert, 1, x509), 'certificate chain')
      })
    }
    withBio(key, bio => {
      const pointer = must(ssl.PEM_read_bio_PrivateKey(bio, 0, 0, 0), 'private key')
      const taken = ssl.SSL_CTX_use_PrivateKey(this.pointer, pointer)
      ssl.EVP_PKEY_free(pointer)
      must(taken, 'private key')
    })
  }
}

function optionsOf({ serverOrder, encryptThenMac, sessionHash }: TlsContext): number {
  return (
    (serverOrder ? OPTION.cipherServerPreference : 0) |
    (encryptThenMac ? 0 : OPTION.noEncryptThenMac) |
    (sessionHash === 'off' ? OPTION.noSessionHash : 0)
  )
}

function must(result: number, what: string): number {
  if (result > 0) return result
  throw new Error(`${what}: ${firstError() ?? 'not accepted'}`)
}

function withBio(pem: string, use: (bio: number) => void): void {
  const ssl = openssl()
  // It reads from these bytes themselves, which must stay where they are until it is freed.
  const bytes = Buffer.from(new ArrayBuffer(pem.length))
  bytes.write(pem, 'latin1')
  const bio = must(ssl.BIO_new_mem_buf(bytes, bytes.length), 'memory')
  try {
    use(bio)
  } finally {
    ssl.BIO_free(bio)
  }
}

function withCertificate(pem: string, use: (x509: number) => void): void {
  const ssl = openssl()
  withBio(pem, bio => {
    const x509 = must(ssl.PEM_read_bio_X509(bio, 0, 0, 0), 'certificate')
    try {
      use(x509)
    } finally {
      ssl.X509_free(x509)
    }
  })
}
