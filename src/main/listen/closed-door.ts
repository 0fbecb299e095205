import type { ForeignCloser } from '../../workers/os/foreign-close.js'
import type { Listener, ListenerHandler } from '../../workers/os/listener.js'
import type { BoundedLog } from '../log/bounded-log.js'

/**
 * For the admin socket where systemd has made one: nothing serves it yet. Whoever comes is told so by the end of the
 * connection; left in the backlog, he would have systemd start the broker again and again.
 */
export class ClosedDoor implements ListenerHandler {
  constructor(
    readonly closer: ForeignCloser,
    readonly log: BoundedLog
  ) {}

  mayAccept(): boolean {
    return true
  }

  accepted({ place }: Listener, fd: number): void {
    this.closer.closeSocket(fd)
    this.log.warn('admin', 1, () => `${place}: closed a connection, there is no admin interface yet`)
  }

  acceptedAll(): void {}

  trouble({ place }: Listener, message: string): void {
    this.log.warn('admin', 1, () => `${place}: ${message}`)
  }
}
