import koffi from 'koffi'
import { Memory } from './libc.js'

/**
 * The OpenSSL that Node itself works with, called without the layers of `node:tls`: those cost nearly as much per
 * message as all of the relay (docs/tls.md has the figures). Node exports these functions for addons. Pointers are
 * plain numbers; 0 is none. Only modules of workers/tls use this one.
 */
type Pointer = number

/** `SSL_ERROR_*`, `SSL_CTRL_*` and the like, as in OpenSSL's headers; part of its stable interface. */
export const SSL_ERROR = { ssl: 1, wantRead: 2, wantWrite: 3, syscall: 5, zeroReturn: 6 } as const
export const CTRL = {
  mode: 33,
  sessionCacheMode: 44,
  chainCert: 89,
  groupsList: 92,
  signatureList: 98,
  dhAuto: 118,
  hasSessionHash: 122,
  minProtoVersion: 123,
  maxProtoVersion: 124
} as const
export const MODE = { partialWrite: 1, movingWriteBuffer: 2, releaseBuffers: 0x10 } as const
export const VERSION = { 'TLSv1.2': 0x0303, 'TLSv1.3': 0x0304 } as const
export const OPTION = {
  noSessionHash: 0x1,
  noTicket: 0x4000,
  noCompression: 0x2_0000,
  noEncryptThenMac: 0x8_0000,
  cipherServerPreference: 0x40_0000,
  noRenegotiation: 0x4000_0000,
  /** Not to be combined with others by bits: numbers of 32 have no room for it. Versions before 3.2 know neither. */
  noCompressedCertificates: 2 ** 33
} as const
export const VERIFY_PEER = 1
export const PURPOSE_ANY = 7
export const VERIFY_UNSPECIFIED = 1
export const HANDSHAKE_RECORD = 22
export const CERTIFICATE_MESSAGE = 11
export const BIO_RESET = 1
export const V_FLAG_PARTIAL_CHAIN = 0x8_0000

function bind() {
  const library = koffi.load(null)
  const verifyCallback = koffi.pointer(koffi.proto('int VerifyCallback(uintptr_t store, uintptr_t arg)'))
  const messageCallback = koffi.pointer(
    koffi.proto(
      'void MessageCallback(int sent, int version, int type, uintptr_t at, size_t length, uintptr_t ssl, uintptr_t arg)'
    )
  )
  const f = <T>(declaration: string): T => library.func(declaration) as unknown as T
  return {
    TLS_server_method: f<() => Pointer>('uintptr_t TLS_server_method()'),
    SSL_CTX_new: f<(method: Pointer) => Pointer>('uintptr_t SSL_CTX_new(uintptr_t)'),
    SSL_CTX_free: f<(ctx: Pointer) => void>('void SSL_CTX_free(uintptr_t)'),
    SSL_CTX_ctrl: f<(ctx: Pointer, command: number, number: number, pointer: Pointer) => number>(
      'long SSL_CTX_ctrl(uintptr_t, int, long, uintptr_t)'
    ),
    /** The same function, for a command whose argument is a text. */
    SSL_CTX_set1_list: f<(ctx: Pointer, command: number, number: 0, list: string) => number>(
      'long SSL_CTX_ctrl(uintptr_t, int, long, str)'
    ),
    SSL_CTX_set_security_level: f<(ctx: Pointer, level: number) => void>('void SSL_CTX_set_security_level(uintptr_t, int)'),
    SSL_CTX_set_options: f<(ctx: Pointer, options: number) => number>('uint64_t SSL_CTX_set_options(uintptr_t, uint64_t)'),
    SSL_CTX_set_num_tickets: f<(ctx: Pointer, count: number) => number>('int SSL_CTX_set_num_tickets(uintptr_t, size_t)'),
    SSL_CTX_set_cipher_list: f<(ctx: Pointer, list: string) => number>('int SSL_CTX_set_cipher_list(uintptr_t, str)'),
    SSL_CTX_set_ciphersuites: f<(ctx: Pointer, list: string) => number>('int SSL_CTX_set_ciphersuites(uintptr_t, str)'),
    SSL_CTX_set_purpose: f<(ctx: Pointer, purpose: number) => number>('int SSL_CTX_set_purpose(uintptr_t, int)'),
    SSL_CTX_use_certificate: f<(ctx: Pointer, x509: Pointer) => number>('int SSL_CTX_use_certificate(uintptr_t, uintptr_t)'),
    SSL_CTX_use_PrivateKey: f<(ctx: Pointer, key: Pointer) => number>('int SSL_CTX_use_PrivateKey(uintptr_t, uintptr_t)'),
    SSL_CTX_check_private_key: f<(ctx: Pointer) => number>('int SSL_CTX_check_private_key(uintptr_t)'),
    SSL_CTX_get_cert_store: f<(ctx: Pointer) => Pointer>('uintptr_t SSL_CTX_get_cert_store(uintptr_t)'),
    X509_STORE_add_cert: f<(store: Pointer, x509: Pointer) => number>('int X509_STORE_add_cert(uintptr_t, uintptr_t)'),
    X509_STORE_set_flags: f<(store: Pointer, flags: number) => number>('int X509_STORE_set_flags(uintptr_t, ulong)'),
    SSL_CTX_set_verify: f<(ctx: Pointer, mode: number, callback: 0) => void>('void SSL_CTX_set_verify(uintptr_t, int, uintptr_t)'),
    SSL_CTX_set_cert_verify_callback: library.func('SSL_CTX_set_cert_verify_callback', 'void', [
      'uintptr_t',
      verifyCallback,
      'uintptr_t'
    ]) as unknown as (ctx: Pointer, callback: unknown, arg: 0) => void,
    verifyCallback: (verify: (store: Pointer) => number): unknown => koffi.register(verify, verifyCallback),
    X509_verify_cert: f<(store: Pointer) => number>('int X509_verify_cert(uintptr_t)'),
    X509_STORE_CTX_get_error: f<(store: Pointer) => number>('int X509_STORE_CTX_get_error(uintptr_t)'),
    X509_STORE_CTX_set_error: f<(store: Pointer, code: number) => void>('void X509_STORE_CTX_set_error(uintptr_t, int)'),

    BIO_new_mem_buf: f<(bytes: Uint8Array, length: number) => Pointer>('uintptr_t BIO_new_mem_buf(void *, int)'),
    BIO_new: f<(method: Pointer) => Pointer>('uintptr_t BIO_new(uintptr_t)'),
    BIO_s_mem: f<() => Pointer>('uintptr_t BIO_s_mem()'),
    BIO_s_null: f<() => Pointer>('uintptr_t BIO_s_null()'),
    BIO_up_ref: f<(bio: Pointer) => number>('int BIO_up_ref(uintptr_t)'),
    BIO_write: f<(bio: Pointer, at: Pointer, length: number) => number>('int BIO_write(uintptr_t, uintptr_t, int)'),
    BIO_ctrl: f<(bio: Pointer, command: number, number: 0, pointer: 0) => number>(
      'long BIO_ctrl(uintptr_t, int, long, uintptr_t)'
    ),
    BIO_number_written: f<(bio: Pointer) => number>('uint64_t BIO_number_written(uintptr_t)'),
    BIO_free: f<(bio: Pointer) => number>('int BIO_free(uintptr_t)'),
    PEM_read_bio_X509: f<(bio: Pointer, into: 0, callback: 0, data: 0) => Pointer>(
      'uintptr_t PEM_read_bio_X509(uintptr_t, uintptr_t, uintptr_t, uintptr_t)'
    ),
    PEM_read_bio_PrivateKey: f<(bio: Pointer, into: 0, callback: 0, data: 0) => Pointer>(
      'uintptr_t PEM_read_bio_PrivateKey(uintptr_t, uintptr_t, uintptr_t, uintptr_t)'
    ),
    X509_free: f<(x509: Pointer) => void>('void X509_free(uintptr_t)'),
    EVP_PKEY_free: f<(key: Pointer) => void>('void EVP_PKEY_free(uintptr_t)'),
    X509_get_version: f<(x509: Pointer) => number>('long X509_get_version(uintptr_t)'),
    X509_get0_pubkey: f<(x509: Pointer) => Pointer>('uintptr_t X509_get0_pubkey(uintptr_t)'),
    /** Gives the numbers of digest and of key kind, and the strength in bits. */
    X509_get_signature_info: f<(x509: Pointer, digest: Pointer, key: Pointer, bits: Pointer, flags: 0) => number>(
      'int X509_get_signature_info(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t)'
    ),
    EVP_PKEY_get_base_id: f<(key: Pointer) => number>('int EVP_PKEY_get_base_id(uintptr_t)'),
    EVP_PKEY_get_bits: f<(key: Pointer) => number>('int EVP_PKEY_get_bits(uintptr_t)'),
    EVP_PKEY_get_security_bits: f<(key: Pointer) => number>('int EVP_PKEY_get_security_bits(uintptr_t)'),
    EVP_PKEY_get_group_name: f<(key: Pointer, at: Pointer, room: number, length: Pointer) => number>(
      'int EVP_PKEY_get_group_name(uintptr_t, uintptr_t, size_t, uintptr_t)'
    ),
    X509_get_subject_name: f<(x509: Pointer) => Pointer>('uintptr_t X509_get_subject_name(uintptr_t)'),
    i2d_X509_NAME: f<(name: Pointer, at: Pointer) => number>('int i2d_X509_NAME(uintptr_t, uintptr_t)'),
    i2d_X509: f<(x509: Pointer, at: Pointer) => number>('int i2d_X509(uintptr_t, uintptr_t)'),
    OPENSSL_sk_num: f<(stack: Pointer) => number>('int OPENSSL_sk_num(uintptr_t)'),
    OPENSSL_sk_value: f<(stack: Pointer, index: number) => Pointer>('uintptr_t OPENSSL_sk_value(uintptr_t, int)'),

    SSL_new: f<(ctx: Pointer) => Pointer>('uintptr_t SSL_new(uintptr_t)'),
    SSL_free: f<(ssl: Pointer) => void>('void SSL_free(uintptr_t)'),
    SSL_set_fd: f<(ssl: Pointer, fd: number) => number>('int SSL_set_fd(uintptr_t, int)'),
    SSL_set_wfd: f<(ssl: Pointer, fd: number) => number>('int SSL_set_wfd(uintptr_t, int)'),
    /** These take over the reference. */
    SSL_set0_rbio: f<(ssl: Pointer, bio: Pointer) => void>('void SSL_set0_rbio(uintptr_t, uintptr_t)'),
    SSL_set0_wbio: f<(ssl: Pointer, bio: Pointer) => void>('void SSL_set0_wbio(uintptr_t, uintptr_t)'),
    SSL_get_wbio: f<(ssl: Pointer) => Pointer>('uintptr_t SSL_get_wbio(uintptr_t)'),
    SSL_set_msg_callback: library.func('SSL_set_msg_callback', 'void', ['uintptr_t', messageCallback]) as unknown as (
      ssl: Pointer,
      callback: unknown
    ) => void,
    messageCallback: (
      heard: (sent: number, version: number, type: number, at: Pointer, length: number) => void
    ): unknown => koffi.register(heard, messageCallback),
    SSL_accept: f<(ssl: Pointer) => number>('int SSL_accept(uintptr_t)'),
    SSL_read: f<(ssl: Pointer, at: Pointer, length: number) => number>('int SSL_read(uintptr_t, uintptr_t, int)'),
    SSL_write: f<(ssl: Pointer, at: Pointer, length: number) => number>('int SSL_write(uintptr_t, uintptr_t, int)'),
    /** The same function, for bytes whose address is not known beforehand. */
    writeBytes: f<(ssl: Pointer, bytes: Uint8Array, length: number) => number>('int SSL_write(uintptr_t, void *, int)'),
    SSL_ctrl: f<(ssl: Pointer, command: number, number: number, pointer: Pointer) => number>(
      'long SSL_ctrl(uintptr_t, int, long, uintptr_t)'
    ),
    SSL_version: f<(ssl: Pointer) => number>('int SSL_version(uintptr_t)'),
    SSL_shutdown: f<(ssl: Pointer) => number>('int SSL_shutdown(uintptr_t)'),
    SSL_get_error: f<(ssl: Pointer, result: number) => number>('int SSL_get_error(uintptr_t, int)'),
    SSL_get_verify_result: f<(ssl: Pointer) => number>('long SSL_get_verify_result(uintptr_t)'),
    /** The chain from the client's certificate to the one of ours that it was found to lead to. */
    SSL_get0_verified_chain: f<(ssl: Pointer) => Pointer>('uintptr_t SSL_get0_verified_chain(uintptr_t)'),
    SSL_get0_peer_certificate: f<(ssl: Pointer) => Pointer>('uintptr_t SSL_get0_peer_certificate(uintptr_t)'),
    SSL_get_peer_cert_chain: f<(ssl: Pointer) => Pointer>('uintptr_t SSL_get_peer_cert_chain(uintptr_t)'),
    SSL_get_current_cipher: f<(ssl: Pointer) => Pointer>('uintptr_t SSL_get_current_cipher(uintptr_t)'),
    SSL_CIPHER_get_name: f<(cipher: Pointer) => string>('str SSL_CIPHER_get_name(uintptr_t)'),
    SSL_get_version: f<(ssl: Pointer) => string>('str SSL_get_version(uintptr_t)'),
    SSL_CIPHER_get_bits: f<(cipher: Pointer, algorithmBits: 0) => number>('int SSL_CIPHER_get_bits(uintptr_t, uintptr_t)'),

    ERR_clear_error: f<() => void>('void ERR_clear_error()'),
    ERR_get_error: f<() => number>('ulong ERR_get_error()'),
    ERR_reason_error_string: f<(code: number) => string | null>('const char *ERR_reason_error_string(ulong)'),
    X509_verify_cert_error_string: f<(code: number) => string>('const char *X509_verify_cert_error_string(long)'),
    OpenSSL_version_num: f<() => number>('ulong OpenSSL_version_num()'),
    memcpy: f<(to: Pointer, from: Pointer, length: number) => Pointer>('uintptr_t memcpy(uintptr_t, uintptr_t, size_t)'),

    /** Room for what OpenSSL is asked to write, its longest message among it; and for a pointer. */
    encoding: new Memory(128 * 1024),
    pointer: new Memory(8)
  }
}

let bound: ReturnType<typeof bind> | undefined

/** The functions; each thread binds them when it first needs them. Throws where this Node does not offer them. */
export function openssl(): ReturnType<typeof bind> {
  if (bound !== undefined) return bound
  const functions = bind()
  const version = functions.OpenSSL_version_num()
  if (version < 0x3000_0000) throw new Error(`OpenSSL 3 is needed, not ${version.toString(16)}`)
  return (bound = functions)
}

/** OpenSSL's words for the first error of this thread's queue, which is empty afterwards. */
export function firstError(): string | undefined {
  const { ERR_get_error, ERR_reason_error_string, ERR_clear_error } = openssl()
  const code = ERR_get_error()
  if (code === 0) return undefined
  ERR_clear_error()
  return ERR_reason_error_string(code) ?? `error ${code.toString(16)}`
}
