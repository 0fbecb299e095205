/**
 * TLS clients one after the other: `node tls-attempts.js PORT` reads a list of attempts in JSON from its input, and
 * prints for each the cipher suite with which it was let in, or `refused`.
 */

import { readFileSync } from 'node:fs'
import { confirmed } from './tls-client.js'

export interface Attempt {
  certificate: string
  key: string
  version: 'TLSv1.2' | 'TLSv1.3'
  /** Further options of `node:tls`. */
  options?: { sigalgs?: string; ecdhCurve?: string }
}

const outcomes: string[] = []
for (const { certificate, key, version, options } of JSON.parse(readFileSync(0, 'utf8')) as Attempt[]) {
  // What the client's own library thinks of keys is not what is asked here.
  const all = { minVersion: version, maxVersion: version, ciphers: 'ALL:@SECLEVEL=0', ...options }
  outcomes.push(await confirmed(Number(process.argv[2]), { certificate, key }, all).then(
    socket => {
      const suite = socket.getCipher().name
      socket.destroy()
      return suite
    },
    () => 'refused'
  ))
}
process.stdout.write(JSON.stringify(outcomes))
process.exit(0)
