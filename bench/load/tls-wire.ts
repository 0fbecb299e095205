import koffi from 'koffi'
import { firstError, openssl, SSL_ERROR } from '#workers/os/openssl.js'
import type { TlsManner } from './orders.js'

/** Counts below zero: nothing for now, or the connection failed. */
export const AGAIN = -1
export const BROKEN = -2

const library = koffi.load(null)
const TLS_client_method = library.func('uintptr_t TLS_client_method()') as unknown as () => number
const SSL_connect = library.func('int SSL_connect(uintptr_t)') as unknown as (ssl: number) => number
const useChainFile = library.func('int SSL_CTX_use_certificate_chain_file(uintptr_t, str)') as unknown as (
  ctx: number,
  file: string
) => number
const useKeyFile = library.func('int SSL_CTX_use_PrivateKey_file(uintptr_t, str, int)') as unknown as (
  ctx: number,
  file: string,
  type: number
) => number
const PEM = 1

const contexts = new Map<string, number>()

/** Made once a process for each certificate. The server's is not looked at: it costs nobody but the load. */
function contextFor({ own }: TlsManner): number {
  const name = own?.certificate ?? ''
  const known = contexts.get(name)
  if (known !== undefined) return known
  const context = openssl().SSL_CTX_new(TLS_client_method())
  if (own && (useChainFile(context, own.certificate) !== 1 || useKeyFile(context, own.key, PEM) !== 1)) {
    throw new Error(`${name}: ${firstError()}`)
  }
  contexts.set(name, context)
  return context
}

/** The client's side of a TLS connection over a non-blocking socket. */
export class TlsWire {
  /** The handshake is through, and the confirmation, where one is sent, has come. */
  ready = false
  readonly #ssl: number
  #connected = false

  constructor(
    fd: number,
    readonly manner: TlsManner
  ) {
    const ssl = openssl()
    this.#ssl = ssl.SSL_new(contextFor(manner))
    ssl.SSL_set_fd(this.#ssl, fd)
  }

  /** Goes on with the handshake: 1 when ready, else AGAIN or BROKEN. `at`: room for a byte. */
  shake(at: number): number {
    if (!this.#connected) {
      openssl().ERR_clear_error()
      const result = this.#result(SSL_connect(this.#ssl))
      if (result < 0) return result
      this.#connected = true
    }
    const confirmed = this.manner.confirmation ? this.receive(at, 1) : 1
    this.ready = confirmed === 1
    return confirmed
  }

  send(at: number, length: number): number {
    openssl().ERR_clear_error()
    return this.#result(openssl().SSL_write(this.#ssl, at, length))
  }

  /** At most one record. */
  receive(at: number, length: number): number {
    openssl().ERR_clear_error()
    return this.#result(openssl().SSL_read(this.#ssl, at, length))
  }

  /** Why it is broken, in OpenSSL's words, if they say. */
  get fault(): string {
    return firstError() ?? 'the other end has closed the connection'
  }

  free(): void {
    openssl().SSL_free(this.#ssl)
  }

  #result(result: number): number {
    if (result > 0) return result
    const error = openssl().SSL_get_error(this.#ssl, result)
    return error === SSL_ERROR.wantRead || error === SSL_ERROR.wantWrite ? AGAIN : BROKEN
  }
}
