import { X509Certificate } from 'node:crypto'
import { EIO, errno, errorText } from '../os/libc.js'
import { CTRL, firstError, openssl, SSL_ERROR, VERSION } from '../os/openssl.js'
import { readStrength } from './read-strength.js'
import type { SecureContext } from './secure-context.js'
import { weakness, type LeastStrength } from './strength.js'

/** What an operation gives instead of a count of bytes. */
export const RESULT = {
  /** The other end has finished. */
  ended: 0,
  wantRead: -1,
  wantWrite: -2,
  /** See `failure`. */
  failed: -3
} as const

/** X509_V_ERR_* codes that GnuTLS has other words for than "not trusted". */
export const VERIFY = {
  ok: 0,
  noIssuer: [2, 18, 19, 20, 21],
  insecure: [66, 67, 68],
  /** The one of them that is given for what OpenSSL was not asked to look at. */
  weak: 66
} as const

/**
 * One `SSL` over a non-blocking socket: the server's side of a TLS connection. It does not own the descriptor. After
 * `free` nothing else may be called.
 */
export class SecureChannel {
  readonly #openssl = openssl()
  readonly #ssl: number
  readonly #context: SecureContext
  /** Why the last operation failed: OpenSSL's or the system's words, and an errno, EIO where there is none. */
  failure: { reason: string; errno: number } | undefined

  constructor(context: SecureContext, fd: number) {
    this.#context = context
    this.#ssl = this.#openssl.SSL_new(context.pointer)
    if (this.#ssl === 0 || this.#openssl.SSL_set_fd(this.#ssl, fd) !== 1) throw new Error(firstError() ?? 'SSL_new')
  }

  /** 1 when the handshake is through. */
  accept(): number {
    this.#openssl.ERR_clear_error()
    const result = this.#result(this.#openssl.SSL_accept(this.#ssl))
    if (result <= 0 || !this.#context.needsSessionHash || this.#hasSessionHash()) return result
    this.failure = { reason: 'no extended master secret', errno: EIO }
    return RESULT.failed
  }

  #hasSessionHash(): boolean {
    const ssl = this.#openssl
    return ssl.SSL_version(this.#ssl) > VERSION['TLSv1.2'] || ssl.SSL_ctrl(this.#ssl, CTRL.hasSessionHash, 0, 0) === 1
  }

  /** Reads at most one record, up to 16 KiB, to an address with room for `length` bytes. */
  read(address: number, length: number): number {
    this.#openssl.ERR_clear_error()
    return this.#result(this.#openssl.SSL_read(this.#ssl, address, length))
  }

  /**
   * Writes as many whole records as the kernel takes. After `wantWrite` a record is half out: the next call must be for
   * the same bytes, though they may have moved.
   */
  write(address: number, length: number): number {
    this.#openssl.ERR_clear_error()
    return this.#result(this.#openssl.SSL_write(this.#ssl, address, length))
  }

  /** As `write`. */
  writeBytes(bytes: Uint8Array): number {
    this.#openssl.ERR_clear_error()
    return this.#result(this.#openssl.writeBytes(this.#ssl, bytes, bytes.length))
  }

  /** Says goodbye (close_notify), if that can be said at once. */
  shutdown(): void {
    this.#openssl.ERR_clear_error()
    this.#openssl.SSL_shutdown(this.#ssl)
  }

  free(): void {
    this.#openssl.SSL_free(this.#ssl)
  }

  /**
   * What OpenSSL found out about the client's chain: the number of its last complaint, and its words for it. A chain
   * that is not as strong as `least` is a complaint too.
   */
  verification(least: LeastStrength): { code: number; text: string } {
    const code = this.#openssl.SSL_get_verify_result(this.#ssl)
    if (code !== VERIFY.ok) return { code, text: this.#openssl.X509_verify_cert_error_string(code) }
    const weak = weakness(this.#verifiedChain().map(readStrength), least)
    return weak === undefined ? { code, text: 'ok' } : { code: VERIFY.weak, text: weak }
  }

  #verifiedChain(): number[] {
    const ssl = this.#openssl
    const chain = ssl.SSL_get0_verified_chain(this.#ssl)
    const count = chain === 0 ? 0 : ssl.OPENSSL_sk_num(chain)
    return Array.from({ length: count }, (_, index) => ssl.OPENSSL_sk_value(chain, index))
  }

  /** The client's certificates, its own first; none if it sent none. */
  peerCertificates(): X509Certificate[] {
    const ssl = this.#openssl
    const leaf = ssl.SSL_get1_peer_certificate(this.#ssl)
    if (leaf === 0) return []
    const chain = ssl.SSL_get_peer_cert_chain(this.#ssl)
    const count = chain === 0 ? 0 : ssl.OPENSSL_sk_num(chain)
    const others = Array.from({ length: count }, (_, index) => ssl.OPENSSL_sk_value(chain, index))
    try {
      return [leaf, ...others].map(x509 => new X509Certificate(this.#encoded(x509)))
    } finally {
      ssl.X509_free(leaf)
    }
  }

  /** Strength of the cipher, in bits. */
  get cipherBits(): number {
    return this.#openssl.SSL_CIPHER_get_bits(this.#openssl.SSL_get_current_cipher(this.#ssl), 0)
  }

  #encoded(x509: number): Buffer {
    const { i2d_X509, certificate, pointer } = this.#openssl
    const length = i2d_X509(x509, 0)
    if (length <= 0 || length > certificate.bytes.length) throw new Error(`a certificate of ${length} bytes`)
    pointer.bytes.writeBigUInt64LE(BigInt(certificate.address))
    i2d_X509(x509, pointer.address)
    return Buffer.from(certificate.bytes.subarray(0, length))
  }

  #result(result: number): number {
    if (result > 0) return result
    const error = this.#openssl.SSL_get_error(this.#ssl, result)
    if (error === SSL_ERROR.wantRead) return RESULT.wantRead
    if (error === SSL_ERROR.wantWrite) return RESULT.wantWrite
    if (error === SSL_ERROR.zeroReturn) return RESULT.ended
    const code = error === SSL_ERROR.syscall ? errno() : EIO
    // A system call that "failed" without an error is an end of the connection.
    if (error === SSL_ERROR.syscall && code === 0) return RESULT.ended
    const reason = error === SSL_ERROR.ssl ? (firstError() ?? 'protocol error') : errorText(code)
    this.failure = { reason, errno: code }
    return RESULT.failed
  }
}
