import { MESSAGE, STATUS } from '#protocol/header.js'
import { OutgoingFrame, type Connection, type User } from './connection.js'
import { errorMessage } from './error-message.js'
import { idle } from './opening.js'
import type { Call, Outcome } from './orders.js'
import { Tally } from './outcome.js'

/** After the last event, for one too many. */
const AFTERMATH_MS = 200

/**
 * The first client makes a call that causes an event for each. Latencies are those from the call to each event; who hears
 * none, or more than one, is a failure.
 */
export function tell(clients: readonly Connection[], call: Call, ms: number): Promise<Outcome> {
  return new Promise(resolve => {
    const tally = new Tally()
    const heard = new Map<Connection, number>(clients.map(client => [client, 0]))
    const [teller] = clients
    const end = (): void => {
      clearTimeout(patience)
      for (const client of clients) client.user = idle
      const deaf = [...heard.values()].filter(times => times === 0).length
      if (deaf > 0) tally.fail(`${deaf} clients did not hear of the event`, deaf)
      resolve(tally.finish())
    }
    const patience = setTimeout(end, ms)
    let since = 0
    const user: User = {
      frame(client, type, status, length, bytes, bodyAt) {
        if (type === MESSAGE.reply) {
          if (status !== STATUS.ok) tally.fail(errorMessage(bytes, bodyAt, length))
          return
        }
        tally.events++
        const times = heard.get(client)!
        heard.set(client, times + 1)
        if (times > 0) return tally.fail('a client heard of the event twice')
        tally.latencies.record(performance.now() - since)
        if (++tally.count === clients.length) setTimeout(end, AFTERMATH_MS)
      },
      lost: (_client, reason) => tally.fail(reason)
    }
    for (const client of clients) client.user = user
    since = performance.now()
    teller!.send(OutgoingFrame.call(call))
  })
}
