/** A process full of TLS clients: `node tls-crowd.js PORT CERTIFICATE KEY COUNT [HOST]`. Prints how many were let in. */

import { confirmed } from './tls-client.js'

const [port, certificate = '', key = '', count, host = '127.0.0.1'] = process.argv.slice(2)

const outcomes = await Promise.allSettled(
  Array.from({ length: Number(count) }, () => confirmed(Number(port), { certificate, key }, { host }))
)
const failures = outcomes.filter(outcome => outcome.status === 'rejected')
process.stdout.write(`${outcomes.length - failures.length} let in\n`)
for (const { reason } of failures.slice(0, 3)) process.stdout.write(`${String(reason)}\n`)
process.exit(0)
