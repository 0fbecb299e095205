import type { Cleanup } from './cleanup.js'
import { startPython } from './clients.js'
import type { Program } from './processes.js'
import { waitFor } from './waiting.js'

/** An event as python-libvirt delivered it, or the answer to a call (see python/watcher.py). */
export interface Notice {
  family?: string
  object?: string
  event?: string
  /** Reason that came with the close callback: 0 error, 1 end of file, 2 keepalive, 3 client. */
  closed?: number
  keepalive?: number
  watching?: boolean
  call?: string
  result?: unknown
  code?: number
  domain?: number
  message?: string
}

/** A python-libvirt client with an event loop, which tells everything that it is told. */
export class Watcher {
  private constructor(readonly program: Program) {}

  /** @param keepalive seconds between pings and number of unanswered ones; such a client watches no objects */
  static async start(cleanup: Cleanup, uri: string, keepalive?: [interval: number, count: number]): Promise<Watcher> {
    const program = startPython('watcher.py', uri, ...(keepalive ?? []).map(String))
    cleanup.defer(() => program.stop())
    const watcher = new Watcher(program)
    await watcher.waitFor(notice => notice.watching === true)
    return watcher
  }

  /** All notices so far, in the order of their arrival. */
  get notices(): Notice[] {
    return this.program.stdout.split('\n').slice(0, -1).map(line => JSON.parse(line) as Notice)
  }

  /** Events of one family so far, each as "object event". */
  events(family: string): string[] {
    return this.notices.filter(notice => notice.family === family)
      .map(notice => `${notice.object ?? ''} ${notice.event ?? ''}`)
  }

  /** The first notice, earlier or later, that fits. */
  waitFor(fits: (notice: Notice) => boolean, timeout?: number): Promise<Notice> {
    return waitFor('a notice of the watcher', () => {
      if (this.program.ended) throw new Error(`the watcher ended: ${this.program.describe()}`)
      return this.notices.find(fits)
    }, timeout)
  }

  /** Begins a call of the connection; the promise settles with its result or its error. */
  async call(method: string): Promise<Notice> {
    const before = this.notices.filter(notice => notice.call !== undefined).length
    this.program.child.stdin.write(`${method}\n`)
    return waitFor(`an answer to ${method}`, () => {
      if (this.program.ended) throw new Error(`the watcher ended: ${this.program.describe()}`)
      return this.notices.filter(notice => notice.call !== undefined)[before]
    })
  }
}
