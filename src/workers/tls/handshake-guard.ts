import { CERTIFICATE_MESSAGE, HANDSHAKE_RECORD, openssl } from '../os/openssl.js'
import { Memory } from '../os/libc.js'
import { MESSAGE_HEADER_BYTES, screen } from './certificate-screen.js'

/**
 * What a client may send until it is answered, which is its ClientHello. Real ones have some hundred bytes. Each of the
 * key shares in it is looked for among all of the groups in it.
 */
const HELLO_BYTES = 16 * 1024
/** Until the handshake is through. OpenSSL takes certificates of 100 KiB. */
const HANDSHAKE_BYTES = 128 * 1024
/** Messages can be cut into records of one byte, each with a cipher's work to be done. */
const HANDSHAKE_RECORDS = 64

/** Whose handshake OpenSSL works at: it calls back from within. */
const work: { guard: HandshakeGuard | undefined } = { guard: undefined }
let callback: unknown
let spoiler: Memory | undefined

/** What a handshake may cost, whoever the client is. */
export class HandshakeGuard {
  /** Why it must end. */
  objection: string | undefined
  #bytes = 0
  #records = 0
  #answered = false

  constructor(readonly ssl: number) {}

  /** Whether OpenSSL may be given so many bytes more. `whole`: a record ends with them. */
  admits(bytes: number, whole: boolean): boolean {
    this.#bytes += bytes
    if (whole) this.#records++
    if (!this.#answered && this.#bytes > HELLO_BYTES) this.objection = `a ClientHello of more than ${HELLO_BYTES} bytes`
    else if (this.#bytes > HANDSHAKE_BYTES) this.objection = `more than ${HANDSHAKE_BYTES} bytes`
    else if (this.#records > HANDSHAKE_RECORDS) this.objection = `more than ${HANDSHAKE_RECORDS} records`
    return this.objection === undefined
  }

  /** One step of OpenSSL's. */
  watch(step: (ssl: number) => number): number {
    work.guard = this
    const result = step(this.ssl)
    work.guard = undefined
    if (!this.#answered) this.#lookForAnswer()
    return result
  }

  over(): void {
    openssl().SSL_set_msg_callback(this.ssl, null)
  }

  /** The client's certificate comes after our answer. Only from then on are messages listened to, which costs something. */
  #lookForAnswer(): void {
    const ssl = openssl()
    this.#answered = ssl.BIO_number_written(ssl.SSL_get_wbio(this.ssl)) > 0
    if (this.#answered) ssl.SSL_set_msg_callback(this.ssl, (callback ??= ssl.messageCallback(hear)))
  }

  /** OpenSSL is about to work at a message. */
  hear(at: number, length: number, version: number): void {
    const { encoding, memcpy, SSL_set_msg_callback } = openssl()
    const message = encoding.bytes.subarray(0, Math.min(length, encoding.bytes.length))
    memcpy(encoding.address, at, message.length)
    if (message[0] !== CERTIFICATE_MESSAGE) return
    SSL_set_msg_callback(this.ssl, null)
    const found = screen(message, version)
    if (found === undefined) return
    this.objection = `unacceptable client certificate: ${found}`
    this.#spoil(at, length)
  }

  /**
   * A callback cannot stop OpenSSL. So the length at the beginning of the message is made a wrong one, at which OpenSSL
   * stops before it has looked at anything else. The alert that it then sends goes nowhere: for the client its
   * connection is closed, as it is for others whose certificate is not wanted.
   */
  #spoil(at: number, length: number): void {
    const ssl = openssl()
    ssl.SSL_set0_wbio(this.ssl, ssl.BIO_new(ssl.BIO_s_null()))
    if (spoiler === undefined) {
      spoiler = new Memory(MESSAGE_HEADER_BYTES)
      spoiler.bytes.fill(0xff)
    }
    ssl.memcpy(at + MESSAGE_HEADER_BYTES, spoiler.address, Math.min(MESSAGE_HEADER_BYTES, length - MESSAGE_HEADER_BYTES))
  }
}

/** It must not throw: there is C in between. */
function hear(sent: number, version: number, type: number, at: number, length: number): void {
  const { guard } = work
  if (guard === undefined || sent !== 0 || type !== HANDSHAKE_RECORD) return
  try {
    guard.hear(at, length, version)
  } catch (error) {
    guard.objection = String(error)
  }
}
