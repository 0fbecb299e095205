/**
 * A process of its own with a client that behaves, and the driver daemon behind it: `node time-bystander.js BROKER DRIVER`,
 * both paths of sockets. Every 20 ms it makes a call that the broker answers or one that goes to the driver. Beside that
 * it sends itself a byte over loopback: what that takes too long is the machine's noise. For each line that it reads it
 * writes what has happened since the last one, as JSON.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { AnsweringDriver } from '../support/answering-driver.js'
import { Cleanup } from '../support/cleanup.js'
import { RawClient } from '../support/raw-client.js'

/** Of an interval; times in milliseconds. */
export interface Waits {
  calls: number
  worst: number
  /** Worst time of the byte to itself. */
  noise: number
  failure?: string
}

const INTERVAL_MS = 20

const [broker = '', driver = ''] = process.argv.slice(2)
const cleanup = new Cleanup()
let waits: Waits = { calls: 0, worst: 0, noise: 0 }

async function timed(action: () => Promise<unknown>): Promise<number> {
  const since = performance.now()
  await action()
  return performance.now() - since
}

async function call(client: RawClient): Promise<void> {
  for (let count = 0; ; count++) {
    const proc = count % 2 === 0 ? REMOTE.connectGetUri : REMOTE.domainGetXmlDesc
    const ms = await timed(async () => {
      const { status } = await client.call(proc)
      if (status !== STATUS.ok) throw new Error(`a call of the bystander got status ${status}`)
    })
    waits.worst = Math.max(waits.worst, ms)
    waits.calls++
    await sleep(INTERVAL_MS)
  }
}

async function listenToNoise(): Promise<void> {
  const server = createServer(socket => socket.on('error', () => undefined).pipe(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', noDelay: true })
  for (;;) {
    const ms = await timed(async () => {
      socket.write('x')
      await once(socket, 'data')
    })
    waits.noise = Math.max(waits.noise, ms)
    await sleep(INTERVAL_MS)
  }
}

await AnsweringDriver.listen(cleanup, driver)
let client: RawClient | undefined
for await (const line of createInterface(process.stdin)) {
  if (line === 'begin') {
    client = await RawClient.connect(cleanup, broker)
    const { status } = await client.open('qemu:///system')
    if (status !== STATUS.ok) throw new Error('the bystander could not open')
    const failed = (error: unknown): void => void (waits.failure = String(error))
    call(client).catch(failed)
    listenToNoise().catch(failed)
  }
  process.stdout.write(`${JSON.stringify(waits)}\n`)
  waits = { calls: 0, worst: 0, noise: 0, ...(waits.failure === undefined ? {} : { failure: waits.failure }) }
}
process.exit(0)
