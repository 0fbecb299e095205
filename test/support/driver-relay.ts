import { connect, createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { NEED, needOf } from '#protocol/connection-needs.js'
import { MESSAGE, PROGRAM } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import type { Cleanup } from './cleanup.js'
import { FrameSocket, type Frame } from './frame-socket.js'

/** What the broker calls itself for any client. */
const HANDSHAKE: readonly number[] = [
  REMOTE.authList, REMOTE.authPolkit, REMOTE.connectOpen, REMOTE.connectClose, REMOTE.connectGetUri, REMOTE.connectSetIdentity,
  REMOTE.connectSupportsFeature
]

/** Stands before a real daemon and passes everything on but descriptors; notes what is called on which connection. */
export class DriverRelay {
  readonly connections: RelayedConnection[] = []

  static async listen(cleanup: Cleanup, path: string, daemon: string): Promise<DriverRelay> {
    const relay = new DriverRelay()
    await relay.listen(cleanup, path, daemon)
    return relay
  }

  /** At another place as well. */
  async listen(cleanup: Cleanup, path: string, daemon: string): Promise<void> {
    const server = createServer(socket => this.connections.push(new RelayedConnection(socket, connect(daemon))))
    cleanup.defer(() => {
      for (const connection of this.connections) connection.destroy()
      server.close()
      return Promise.resolve()
    })
    server.listen(path)
    await once(server, 'listening')
  }

  get open(): number {
    return this.connections.filter(({ closed }) => !closed).length
  }

  /** Calls on connections that clients shared, and on those that one had for itself, but for the broker's own. */
  get calls(): { shared: number; own: number } {
    const count = (own: boolean): number =>
      this.connections.filter(one => one.binds === own).reduce((sum, { calls }) => sum + calls, 0)
    return { shared: count(false), own: count(true) }
  }
}

class RelayedConnection extends FrameSocket {
  calls = 0
  /** Something was called that binds a client to its connection. */
  binds = false

  constructor(
    socket: Socket,
    readonly daemon: Socket
  ) {
    super(socket)
    daemon.pipe(socket)
    daemon.on('error', () => socket.destroy())
    socket.on('close', () => daemon.destroy())
  }

  protected override deliver(arrived: Frame): void {
    this.daemon.write(arrived.bytes)
    const { type, prog, proc } = arrived
    if (type !== MESSAGE.call || prog === PROGRAM.keepalive || (prog === PROGRAM.remote && HANDSHAKE.includes(proc))) return
    this.calls++
    const need = needOf(arrived.bytes, 0)
    if (need === NEED.own || need === NEED.ownForGood) this.binds = true
  }
}
