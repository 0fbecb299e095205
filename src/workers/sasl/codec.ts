import { Libsasl, type SaslConnection } from './libsasl.js'

/** Two, because a frame that is being unwrapped may be answered: each has memory for one result. */
let encoder: Libsasl | undefined
let decoder: Libsasl | undefined

/**
 * The encryption of one connection, in the thread that serves the connection: two calls of the library that touch
 * nothing but the connection's own memory, which no other thread touches between the end of the login and `dispose` by
 * the SASL thread. So a login that blocks the SASL thread holds up nobody who is in (docs/authentication.md).
 */
export class SaslCodec {
  readonly #encoder: Libsasl
  readonly #decoder: Libsasl

  /** `maxInput`: bytes that `encode` takes at most. */
  constructor(
    readonly connection: SaslConnection,
    readonly maxInput: number
  ) {
    this.#encoder = encoder ??= new Libsasl()
    this.#decoder = decoder ??= new Libsasl()
  }

  /** The result is valid until the next `encode`. Throws SaslFailure. */
  encode(bytes: Buffer, from: number, to: number): Buffer {
    return this.#encoder.encode(this.connection, bytes.subarray(from, to))
  }

  /** At most 65536 bytes. The result may be empty, and is valid until the next `decode`. Throws SaslFailure. */
  decode(bytes: Buffer, from: number, to: number): Buffer {
    return this.#decoder.decode(this.connection, bytes.subarray(from, to))
  }
}
