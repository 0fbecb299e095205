import type { SaslInventory } from './inventory.js'
import type { Libsasl } from './libsasl.js'
import type { SaslListener, SaslListeners, SaslRemark } from './messages.js'
import { describeOffer, passwordTrouble } from './offer.js'

/** What a start says about mechanisms: clients are told nothing of why they cannot log in. Throws SaslFailure. */
export function startRemarks(sasl: Libsasl, inventory: SaslInventory, { listeners }: SaslListeners): SaslRemark[] {
  const all = new Set<string>()
  const remarks = listeners.map((listener): SaslRemark => {
    const offered = offeredTo(sasl, listener)
    for (const name of offered) all.add(name)
    const { text, faulty } = describeOffer(inventory, offered, listener)
    const message = `${listener.keys.join(' and ')} = "sasl": ${text}`
    return { kind: faulty ? 'sasl-offer' : 'info', message }
  })
  const trouble = passwordTrouble(inventory, [...all])
  return trouble === undefined ? remarks : [...remarks, { kind: 'sasl-offer', message: trouble }]
}

/** By way of a connection that nobody has made. */
function offeredTo(sasl: Libsasl, { secure, minSsf }: SaslListener): string[] {
  const nobody = '127.0.0.1;0'
  const connection = sasl.create({ local: nobody, remote: nobody, secure, minSsf, externalSsf: 0 })
  try {
    return sasl.mechanisms(connection)
  } finally {
    sasl.dispose(connection)
  }
}
