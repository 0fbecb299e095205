import { readFile, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { listeningUnixSockets, UNIX_SOCKETS } from '../../workers/os/process-info.js'
import type { KnownSocket } from '../../workers/driver/driver-sockets.js'

/** Whoever asks more often gets the same answer. */
const KEPT_MS = 2000
const CONNECT_MS = 1000

/**
 * Which driver daemons somebody listens for. A daemon is not connected to for that, if it can be helped: systemd would
 * start it, and it would log that the connection has ended.
 */
export class DriverReach {
  readonly #sockets: () => readonly KnownSocket[]
  #last: { at: number; found: Promise<ReadonlyMap<string, boolean>> } | undefined

  /** `sockets`: of the settings that are in use. */
  constructor(sockets: () => readonly KnownSocket[]) {
    this.#sockets = sockets
  }

  /** By driver; those that nobody has named and that are not there are left out. */
  look(): Promise<ReadonlyMap<string, boolean>> {
    const now = performance.now()
    if (this.#last === undefined || now - this.#last.at > KEPT_MS) this.#last = { at: now, found: this.#look() }
    return this.#last.found
  }

  async #look(): Promise<ReadonlyMap<string, boolean>> {
    const there = await Promise.all(this.#sockets().map(async socket => ({ ...socket, there: await isSocket(socket.path) })))
    const listening = there.some(socket => socket.there) ? await listeningPaths() : new Set()
    const looked = there
      .filter(({ there, named }) => there || named)
      .map(async ({ driver, path, there }) => [driver, there && (listening.has(path) || (await answers(path)))] as const)
    return new Map(await Promise.all(looked))
  }
}

const isSocket = (path: string): Promise<boolean> => stat(path).then(found => found.isSocket(), () => false)

const listeningPaths = async (): Promise<ReadonlySet<string>> =>
  new Set(listeningUnixSockets(await readFile(UNIX_SOCKETS, 'utf8')).map(({ path }) => path))

function answers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ path })
    const over = (reached: boolean): void => {
      socket.destroy()
      resolve(reached)
    }
    socket.setTimeout(CONNECT_MS, () => over(false))
    socket.on('connect', () => over(true)).on('error', () => over(false))
  })
}
