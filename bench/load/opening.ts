import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Connection, ConnectFailure, OutgoingFrame, type User } from './connection.js'
import type { Outcome, Target } from './orders.js'
import { Tally } from './outcome.js'

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
  into: Connection[]
): Promise<Outcome> {
  return new Promise(resolve => {
    const tally = new Tally()
    const open = openFrame(target)
    let begun = 0
    let ended = 0

    const next = (): void => {
      if (begun === wanted) {
        if (ended === wanted) resolve(tally.finish())
        return
      }
      begun++
      begin(performance.now())
    }
    const over = (): void => {
      ended++
      next()
    }
    const begin = (since: number): void => {
      try {
        new Connection(target.address, user).since = since
      } catch (error) {
        const again = error instanceof ConnectFailure && error.worthRetrying
        if (again && performance.now() - since < PATIENCE_MS) setTimeout(() => begin(since), RETRY_MS)
        else {
          tally.fail((error as Error).message)
          setImmediate(over)
        }
      }
    }
    const user: User = {
      drained: connection => connection.send(open),
      frame(connection, type, status) {
        if (type !== MESSAGE.reply) return
        if (status === STATUS.ok) {
          tally.count++
          tally.latencies.record(performance.now() - connection.since)
          connection.user = idle
          into.push(connection)
        } else {
          connection.close()
          tally.fail('CONNECT_OPEN was refused')
        }
        over()
      },
      lost(_connection, reason) {
        tally.fail(reason)
        over()
      }
    }
    for (let i = 0; i < Math.min(parallel, wanted); i++) next()
  })
}

/** Nobody expects anything from this client now. */
export const idle: User = { frame() {}, lost() {} }
