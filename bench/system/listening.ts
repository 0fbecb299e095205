import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Address } from '../load/orders.js'
import type { Program } from './program.js'

const PATIENCE_MS = 20_000

/** A TCP port of the loopback interface that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Resolves when the program takes connections at `address`; throws when it ends instead. */
export async function listening(program: Program, address: Address): Promise<void> {
  const end = Date.now() + PATIENCE_MS
  while (!(await canConnect(address))) {
    if (program.ended) throw new Error(`did not start: ${program.describe()}`)
    if (Date.now() > end) throw new Error(`does not listen: ${program.describe()}`)
    await sleep(25)
  }
}

/** Whether somebody takes connections there; `patienceMs`: how long that may take, 0 as long as the kernel has patience. */
export function canConnect(address: Address, patienceMs = 0): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ ...address, timeout: patienceMs })
    const end = (yes: boolean): void => {
      socket.destroy()
      resolve(yes)
    }
    socket.once('connect', () => end(true)).once('error', () => end(false)).once('timeout', () => end(false))
  })
}
