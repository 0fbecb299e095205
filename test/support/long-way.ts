import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Cleanup } from './cleanup.js'

/** A port from which bytes need `ms` to reach `port`, and as long to come back. */
export async function longWay(cleanup: Cleanup, port: number, ms: number): Promise<number> {
  const sockets = new Set<Socket>()
  const carry = (from: Socket, to: Socket): void => {
    sockets.add(from)
    from.on('data', bytes => void setTimeout(() => to.write(bytes), ms))
    from.on('error', () => undefined)
    from.once('close', () => {
      sockets.delete(from)
      setTimeout(() => to.destroySoon(), ms)
    })
  }
  const server = createServer({ noDelay: true }, near => {
    const far = connect({ host: '127.0.0.1', port, noDelay: true })
    carry(near, far)
    carry(far, near)
  })
  server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })
  await once(server, 'listening')
  cleanup.defer(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return (server.address() as AddressInfo).port
}
