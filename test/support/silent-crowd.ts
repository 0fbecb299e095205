import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cleanup } from './cleanup.js'

const AT_A_TIME = 200

/** Connections that say nothing, or little. */
export class SilentCrowd {
  readonly #sockets = new Set<Socket>()

  constructor(cleanup: Cleanup) {
    cleanup.defer(() => Promise.resolve(this.leave()))
  }

  get closed(): number {
    return [...this.#sockets].filter(({ closed }) => closed).length
  }

  /** `where`: path of a UNIX socket, or a port of 127.0.0.1; `saying`: all that they say. */
  async join(count: number, where: string | number, saying?: Buffer): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.#connect(where, saying)))
  }

  /** As `join`, of another user: who connects is noted within the call. */
  async joinAs(uid: number, count: number, path: string): Promise<void> {
    for (let left = count; left > 0;) {
      process.seteuid!(uid)
      const joining = Array.from({ length: Math.min(left, AT_A_TIME) }, () => this.#connect(path))
      process.seteuid!(0)
      const joined = (await Promise.all(joining)).filter(Boolean).length
      // A backlog may be full for a moment.
      if (joined < joining.length) await sleep(10)
      left -= joined
    }
  }

  leave(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** False if there was no room in the backlog. */
  #connect(where: string | number, saying?: Buffer): Promise<boolean> {
    const options: NetConnectOpts = typeof where === 'string' ? { path: where } : { host: '127.0.0.1', port: where }
    const socket = connect(options).resume()
    this.#sockets.add(socket)
    if (saying !== undefined) socket.write(saying)
    return new Promise(resolve => {
      socket.once('connect', () => resolve(true))
      socket.once('close', () => resolve(true))
      socket.on('error', ({ code }: NodeJS.ErrnoException) => {
        if (code !== 'EAGAIN') return
        this.#sockets.delete(socket)
        resolve(false)
      })
    })
  }
}
