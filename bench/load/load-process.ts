/** A process that makes load, as the bench orders it over the IPC channel (see orders.ts, Load). */

import { callOnce, closedLoop, fixedRate, watch } from './calling.js'
import { OutgoingFrame, type Connection } from './connection.js'
import { cycles } from './cycles.js'
import { openClients } from './opening.js'
import type { Call, Order, Outcome, Report } from './orders.js'
import { Tally } from './outcome.js'
import { resets } from './resets.js'
import { download, upload } from './streaming.js'
import { tell } from './telling.js'

const clients: Connection[] = []

function first(): Connection {
  const client = clients.find(candidate => !candidate.closed)
  if (client === undefined) throw new Error('no client is open')
  return client
}

async function carryOut(order: Order): Promise<Outcome> {
  switch (order.do) {
    case 'open':
      return openClients(order.target, order.clients, order.parallel, clients)
    case 'closed-loop':
      return closedLoop(clients.slice(0, order.clients ?? clients.length), order.call, order.ms)
    case 'fixed-rate':
      return fixedRate(clients, order.call, order.ms, order.callsPerSecond)
    case 'cycles':
      return cycles(order.target, order.ms, order.parallel)
    case 'resets':
      return resets(order.target.address, order.ms)
    case 'stream':
      return order.direction === 'download'
        ? download(first(), order.call)
        : upload(first(), order.call, order.bytes)
    case 'call':
      return callOnce(first(), order.call)
    case 'each':
      return callOneByOne(order.call)
    case 'tell':
      return tell(clients, order.call, order.ms)
    case 'watch':
      return watch(clients, order.ms)
    case 'write':
      return writeOnce(order.bytes, order.times, order.deaf)
    case 'close':
      for (const client of clients.splice(0)) client.close()
      return new Tally().finish()
  }
}

async function callOneByOne(call: Call): Promise<Outcome> {
  const tally = new Tally()
  for (const client of clients) {
    const { count, failures, firstFailure } = await callOnce(client, call)
    tally.count += count
    if (failures > 0) tally.fail(firstFailure ?? 'no reply')
  }
  return tally.finish()
}

/** What cannot be written at once is written when the other end takes it; nobody waits for that. */
function writeOnce(bytes: Uint8Array, times: number, deaf: boolean): Outcome {
  const tally = new Tally()
  const frame = new OutgoingFrame(bytes)
  for (const client of clients) {
    if (client.closed) continue
    if (deaf) client.deafen()
    let left = times
    const pump = (): void => {
      while (left > 0 && !client.busy && !client.closed) {
        left--
        tally.count++
        client.sendAsIs(frame)
      }
    }
    client.user = { drained: pump, frame() {}, lost() {} }
    pump()
  }
  return tally.finish()
}

const report = (message: Report): void => void process.send!(message)

let last = Promise.resolve()
process.on('message', (order: Order) => {
  last = last.then(() => carryOut(order)).then(
    done => report({ done }),
    (error: unknown) => report({ error: String(error) })
  )
})
process.on('disconnect', () => process.exit(0))
