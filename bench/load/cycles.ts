import { MESSAGE, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Connection, ConnectFailure, OutgoingFrame, type User } from './connection.js'
import { openFrame } from './opening.js'
import type { Outcome, Target } from './orders.js'
import { Tally } from './outcome.js'
import { Patience, STUCK_MS } from './patience.js'

const RETRY_MS = 2

/** Connect, CONNECT_OPEN, CONNECT_CLOSE, close the socket; `parallel` clients at a time, for `ms`. */
export function cycles(target: Target, ms: number, parallel: number): Promise<Outcome> {
  return new Promise(resolve => {
    const tally = new Tally()
    const end = tally.started + ms
    const open = openFrame(target)
    const close = OutgoingFrame.call({ procedure: REMOTE.connectClose, body: new Uint8Array(0) })
    const pending = new Set<Connection>()
    let running = 0

    const patience = new Patience(STUCK_MS, () => {
      tally.fail(`${running} clients were never answered`, running)
      for (const connection of pending) connection.close()
      resolve(tally.finish())
    })

    const begin = (since: number): void => {
      try {
        const connection = new Connection(target.address, user)
        connection.since = since
        pending.add(connection)
      } catch (error) {
        if (error instanceof ConnectFailure && error.worthRetrying) return void setTimeout(() => begin(since), RETRY_MS)
        tally.fail((error as Error).message)
        setTimeout(() => over(), RETRY_MS)
      }
    }
    const over = (connection?: Connection): void => {
      if (connection) pending.delete(connection)
      patience.renew()
      const now = performance.now()
      if (now < end) begin(now)
      else if (--running === 0) {
        patience.end()
        resolve(tally.finish())
      }
    }
    const user: User = {
      drained: connection => connection.send(open),
      frame(connection, type, status) {
        if (type !== MESSAGE.reply) return
        if (status !== STATUS.ok) {
          tally.fail('error reply')
          connection.close()
          return over(connection)
        }
        if (connection.serial === 1) return connection.send(close)
        connection.close()
        tally.count++
        tally.latencies.record(performance.now() - connection.since)
        over(connection)
      },
      lost(connection, reason) {
        tally.fail(reason)
        over(connection)
      }
    }
    running = parallel
    for (let i = 0; i < parallel; i++) begin(performance.now())
  })
}
