import { CTRL, openssl } from '../os/openssl.js'

/** What a name may stand for: a cipher suite before TLS 1.3, a key exchange group, a signature scheme. */
export type NameKind = 'cipher' | 'group' | 'signature'

const known: Record<NameKind, Map<string, boolean>> = { cipher: new Map(), group: new Map(), signature: new Map() }

/** Those of the names that this OpenSSL has, in their order, each once. It is asked, because builds and releases differ. */
export function knownNames(kind: NameKind, names: readonly string[]): Set<string> {
  const unknown = names.filter(name => !known[kind].has(name))
  if (unknown.length > 0) ask(kind, unknown)
  return new Set(names.filter(name => known[kind].get(name) === true))
}

function ask(kind: NameKind, names: readonly string[]): void {
  const ssl = openssl()
  const ctx = ssl.SSL_CTX_new(ssl.TLS_server_method())
  ssl.SSL_CTX_set_security_level(ctx, 0)
  for (const name of names) {
    const taken =
      kind === 'cipher'
        ? ssl.SSL_CTX_set_cipher_list(ctx, name)
        : ssl.SSL_CTX_set1_list(ctx, kind === 'group' ? CTRL.groupsList : CTRL.signatureList, 0, name)
    known[kind].set(name, taken > 0)
  }
  ssl.SSL_CTX_free(ctx)
  ssl.ERR_clear_error()
}
