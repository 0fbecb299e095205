import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Cleanup } from './cleanup.js'

/** Stands before a bus, and can hang up on its clients. */
export class BusRelay {
  /** How many questions to polkit have passed. */
  asked = 0
  readonly #sockets = new Set<Socket>()

  private constructor(
    readonly path: string,
    readonly server: Server
  ) {}

  static async listen(cleanup: Cleanup, path: string, bus: string): Promise<BusRelay> {
    const server = createServer(client => relay.#serve(client, connect(bus)))
    const relay = new BusRelay(path, server)
    server.listen(path)
    cleanup.defer(() => {
      server.close()
      relay.hangUp()
      return Promise.resolve()
    })
    await once(server, 'listening')
    return relay
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
  }

  #serve(client: Socket, bus: Socket): void {
    for (const socket of [client, bus]) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
    }
    client.on('data', bytes => {
      if (bytes.includes('CheckAuthorization\0')) this.asked++
    })
    client.pipe(bus).pipe(client)
  }
}
