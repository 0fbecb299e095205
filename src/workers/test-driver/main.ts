import { rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { PROGRAM } from '#protocol/header.js'
import { SocketLink } from './link.js'
import { allHandlers } from './handlers.js'
import { door } from './door.js'
import { Session, slotsOf, type Shared } from './session.js'
import { Universe } from './universe.js'

export interface TestDriverOptions {
  /** The driver's socket; beside it, `-ro` appended, stands its read-only twin. */
  socketPath: string
  /** Hears of failures in the driver itself, which cost one client its connection and nobody else anything. */
  onFailure?: (error: unknown) => void
}

/**
 * Serves `test:///default` and `test:///path/of/file.xml` on a UNIX socket, in the thread that calls it. Rejects if a
 * socket cannot be made. What `close` returns settles when all connections and both sockets are gone.
 */
export async function startTestDriver(options: TestDriverOptions): Promise<{ close(): Promise<void> }> {
  const universe = new Universe()
  const shared: Shared = {
    door,
    handlers: allHandlers,
    attach: uri => universe.attach(uri),
    release: hypervisor => universe.release(hypervisor),
    now: () => performance.now(),
    failed: options.onFailure ?? (() => undefined)
  }
  const slots = new Map([PROGRAM.remote, PROGRAM.qemu, PROGRAM.lxc].map(program => [program, slotsOf(program, shared)]))
  const sockets = new Set<Socket>()
  const serve = (readOnly: boolean): Server =>
    createServer({ allowHalfOpen: true }, socket => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      new SocketLink(socket, link => new Session(link, shared, slots, readOnly))
    })
  const servers = [serve(false), serve(true)]
  const paths = [options.socketPath, `${options.socketPath}-ro`]
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    await Promise.all(servers.map(server => new Promise<void>(resolve => server.close(() => resolve()))))
  }
  try {
    for (const [index, server] of servers.entries()) await listen(server, paths[index]!)
  } catch (error) {
    await close()
    throw error
  }
  return { close }
}

async function listen(server: Server, path: string): Promise<void> {
  // A socket that a crashed process left behind is in nobody's use.
  await rm(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
