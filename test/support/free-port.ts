import { once } from 'node:events'
import { createServer, type ListenOptions } from 'node:net'

/** The kernel takes none of these for connections (ip_local_port_range), and no daemon of the tests has one by default. */
const FIRST = 20_000
const COUNT = 12_000

/** Where to look next. Each process begins somewhere else. */
let next = Math.floor(Math.random() * COUNT)

/**
 * A TCP port of the loopback interface on which nobody listens, and which is given to nobody else as long as this process
 * lives: tests run side by side, and ask for a port some time before they use it.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < COUNT; tries++) {
    const port = FIRST + next++ % COUNT
    if (await isClaimed(port) && await isFree(port)) return port
  }
  throw new Error('no port is free')
}

/** The claim is an abstract UNIX socket: it is of one network namespace, as ports are, and ends with the process. */
const isClaimed = (port: number): Promise<boolean> =>
  listens(createServer().unref(), { path: `\0virtbroker-test-port-${port}` })

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  if (!await listens(server, { host: '127.0.0.1', port })) return false
  server.close()
  await once(server, 'close')
  return true
}

async function listens(server: ReturnType<typeof createServer>, where: ListenOptions): Promise<boolean> {
  server.listen(where)
  return once(server, 'listening').then(() => true, () => false)
}
