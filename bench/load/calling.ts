import { MESSAGE, STATUS } from '#protocol/header.js'
import type { Connection, User } from './connection.js'
import { OutgoingFrame } from './connection.js'
import { errorMessage } from './error-message.js'
import { idle } from './opening.js'
import type { Call, Outcome } from './orders.js'
import { Tally } from './outcome.js'
import { PreciseTimer } from './precise-timer.js'

/** How long replies are waited for when the time is over. */
const GRACE_MS = 20_000

/** Every client calls again as soon as it has its reply; the calls in flight at the end are waited for. */
export function closedLoop(
  clients: readonly Connection[],
  call: Call,
  ms: number,
  tally = new Tally(),
  graceMs = GRACE_MS
): Promise<Outcome> {
  return new Promise(resolve => {
    const frame = OutgoingFrame.call(call)
    const end = tally.started + ms
    // One is kept until all have begun: a client may be lost as it does.
    let inFlight = 1

    const send = (client: Connection, now: number): void => {
      client.since = now
      client.send(frame)
    }
    const settled = (): void => {
      if (--inFlight > 0) return
      clearTimeout(patience)
      resolve(finish(clients, tally))
    }
    const user: User = {
      frame(client, type, status, length, bytes, bodyAt) {
        if (type !== MESSAGE.reply) return void tally.events++
        const now = performance.now()
        if (status !== STATUS.ok) tally.fail(errorMessage(bytes, bodyAt, length))
        tally.count++
        tally.bytes += length
        tally.latencies.record(now - client.since)
        if (now < end) send(client, now)
        else settled()
      },
      lost(_client, reason) {
        tally.fail(reason)
        settled()
      }
    }
    const patience = setTimeout(() => {
      tally.fail(`${inFlight} calls had no reply ${graceMs} ms after the end`, inFlight)
      resolve(finish(clients, tally))
    }, ms + graceMs)
    for (const client of clients) {
      if (client.closed) continue
      client.user = user
      inFlight++
      send(client, performance.now())
    }
    settled()
  })
}

/**
 * Calls are due at equal distances. Each goes to a client that has none in flight; if all have, it waits, and its
 * latency counts from when it was due all the same: a server that stalls is not asked less ("coordinated omission").
 */
export function fixedRate(
  clients: readonly Connection[],
  call: Call,
  ms: number,
  callsPerSecond: number,
  tally = new Tally(),
  graceMs = GRACE_MS
): Promise<Outcome> {
  return new Promise(resolve => {
    const frame = OutgoingFrame.call(call)
    const spacing = 1000 / callsPerSecond
    const total = Math.max(1, Math.floor(ms / spacing))
    const free = clients.filter(client => !client.closed)
    let left = free.length
    let sent = 0
    let ended = 0

    const finishAll = (): void => {
      timer.stop()
      clearTimeout(patience)
      letGo(clients)
      // The time until the next would be due belongs to the last as well; but nobody is left to make another.
      const ms = left === 0 ? 0 : tally.started + total * spacing - performance.now()
      setTimeout(() => resolve(tally.finish()), Math.max(0, ms))
    }
    const sendDue = (): void => {
      const now = performance.now()
      while (sent < total && free.length > 0) {
        const due = tally.started + sent * spacing
        if (due > now) return
        const client = free.shift()!
        sent++
        client.since = due
        client.send(frame)
      }
    }
    const user: User = {
      frame(client, type, status, length, bytes, bodyAt) {
        if (type !== MESSAGE.reply) return void tally.events++
        if (status !== STATUS.ok) tally.fail(errorMessage(bytes, bodyAt, length))
        tally.count++
        tally.bytes += length
        tally.latencies.record(performance.now() - client.since)
        free.push(client)
        if (++ended === total) finishAll()
        else sendDue()
      },
      lost(client, reason) {
        tally.fail(reason)
        const idle = free.indexOf(client)
        if (idle >= 0) free.splice(idle, 1)
        else ended++
        if (--left === 0 || ended === total) finishAll()
      }
    }
    for (const client of clients) client.user = user
    const timer = new PreciseTimer(Math.min(spacing, 1), sendDue)
    const patience = setTimeout(() => {
      tally.fail(`${total - ended} calls had no reply ${graceMs} ms after the end`, total - ended)
      finishAll()
    }, ms + graceMs)
    if (left === 0) finishAll()
  })
}

function finish(clients: readonly Connection[], tally: Tally): Outcome {
  letGo(clients)
  return tally.finish()
}

function letGo(clients: readonly Connection[]): void {
  for (const client of clients) client.user = idle
}

/** One call by one client. The reply's body is handed out as far as it came with the first read. */
export function callOnce(client: Connection, call: Call): Promise<Outcome> {
  return new Promise(resolve => {
    const tally = new Tally()
    client.user = {
      frame(_client, type, status, length, bytes, bodyAt) {
        if (type !== MESSAGE.reply) return void tally.events++
        client.user = idle
        tally.count++
        tally.bytes += length
        const reply = Uint8Array.from(bytes.subarray(bodyAt, bodyAt + length - 28))
        if (status !== STATUS.ok) tally.fail(`error reply: ${errorMessage(bytes, bodyAt, length)}`)
        resolve({ ...tally.finish(), reply })
      },
      lost(_client, reason) {
        tally.fail(reason)
        resolve(tally.finish())
      }
    }
    client.send(OutgoingFrame.call(call))
  })
}

/** Counts events, which come unasked. */
export function watch(clients: readonly Connection[], ms: number): Promise<Outcome> {
  const tally = new Tally()
  const user: User = {
    frame(_client, type) {
      if (type === MESSAGE.event) tally.events++
    },
    lost: (_client, reason) => tally.fail(reason)
  }
  for (const client of clients) client.user = user
  return new Promise(resolve => setTimeout(() => resolve(finish(clients, tally)), ms))
}
