import { openssl, VERIFY_UNSPECIFIED } from '../os/openssl.js'

let callback: unknown

/**
 * What OpenSSL is to call to verify a client's chain: its own verification, up to the first thing that is wrong, with
 * which the handshake goes on all the same; what it was is asked for afterwards. A chain that ends at nobody's whom we
 * know is given up before any signature is looked at. Where it ends at one of ours, signatures are verified from there
 * downwards, each by a key that is vouched for already: at most one of them is by somebody else.
 */
export function chainVerification(): unknown {
  return (callback ??= openssl().verifyCallback(verify))
}

/** It must not throw: there is C in between. */
function verify(store: number): number {
  const ssl = openssl()
  if (ssl.X509_verify_cert(store) <= 0 && ssl.X509_STORE_CTX_get_error(store) === 0) {
    ssl.X509_STORE_CTX_set_error(store, VERIFY_UNSPECIFIED)
  }
  // What it left there would be taken for a failure of the handshake.
  ssl.ERR_clear_error()
  return 1
}
