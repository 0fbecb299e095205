import type { BrokerSlowCall } from '../../protocol/messages/broker-admin.js'
import type { SlowCall } from '../../workers/thread/slow-call.js'

/** As `virtbrokerctl slow` has it. */
export function slowCall({ at, about, driver, procedure, object, code, queuedUs, driverUs }: SlowCall): BrokerSlowCall {
  const { client, address, uid, pid } = about
  const from = address ?? (uid === undefined ? undefined : `uid ${uid}, pid ${pid ?? -1}`)
  return { at, client, from, dn: about.dn, sasl: about.sasl, driver, procedure, object, code, queuedUs, driverUs }
}
