import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Connection, ConnectFailure, OutgoingFrame, type User } from './connection.js'
import { errorMessage } from './error-message.js'
import { loginBefore } from './login.js'
import type { Outcome, Target } from './orders.js'
import { Tally } from './outcome.js'
import { Patience, STUCK_MS } from './patience.js'

const RETRY_MS = 10
/** Nobody waits longer than this for one connection. */
const PATIENCE_MS = 30_000

export function openFrame(target: Target): OutgoingFrame {
  return OutgoingFrame.call({ procedure: REMOTE.connectOpen, body: encodeOpen({ name: target.name, flags: 0 }) })
}

/**
 * Opens clients, `parallel` at a time, each of which ends up in `into`. Latency is from the start of `connect` to the
 * reply to CONNECT_OPEN.
 */
export function openClients(
  target: Target,
  wanted: number,
  parallel: number,
  into: Connection[],
  tally = new Tally()
): Promise<Outcome> {
  return new Promise(resolve => {
    const open = openFrame(target)
    const pending = new Set<Connection>()
    let begun = 0
    let ended = 0

    const finish = (): void => {
      patience.end()
      resolve(tally.finish())
    }
    const patience = new Patience(STUCK_MS, () => {
      tally.fail(`${wanted - ended} clients were never answered`, wanted - ended)
      for (const connection of pending) connection.close()
      ended = wanted
      finish()
    })
    const next = (): void => {
      if (begun === wanted) {
        if (ended === wanted) finish()
        return
      }
      begun++
      begin(performance.now())
    }
    const over = (connection?: Connection): void => {
      if (connection) pending.delete(connection)
      patience.renew()
      ended++
      next()
    }
    const begin = (since: number): void => {
      try {
        const connection = new Connection(target.address, newcomer)
        connection.since = since
        pending.add(connection)
      } catch (error) {
        const again = error instanceof ConnectFailure && error.worthRetrying
        if (again && performance.now() - since < PATIENCE_MS) setTimeout(() => begin(since), RETRY_MS)
        else {
          tally.fail((error as Error).message)
          setImmediate(() => over())
        }
      }
    }
    const user: User = {
      drained: connection => connection.send(open),
      frame(connection, type, status, length, bytes, bodyAt) {
        if (type !== MESSAGE.reply) return
        if (status === STATUS.ok) {
          tally.count++
          tally.latencies.record(performance.now() - connection.since)
          connection.user = staying
          into.push(connection)
          over(connection)
        } else refused(connection, `CONNECT_OPEN was refused: ${errorMessage(bytes, bodyAt, length)}`)
      },
      lost(connection, reason) {
        tally.fail(reason)
        over(connection)
      }
    }
    // Who is let in is to stay at least until the others are.
    const staying: User = { frame() {}, lost: (_connection, reason) => tally.fail(reason) }
    const refused = (connection: Connection, why: string): void => {
      connection.close()
      tally.fail(why)
      over(connection)
    }
    const newcomer = target.login === true ? loginBefore(user, open, refused) : user
    for (let i = 0; i < Math.min(parallel, wanted); i++) next()
  })
}

/** Nobody expects anything from this client now. */
export const idle: User = { frame() {}, lost() {} }
