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

  accepted({ kind, place }: Listener, fd: number): void {
    this.closer.closeSocket(fd)
    const text = (): string => `${place}: closed a connection, there is no admin interface yet`
    this.log.log('no-admin-interface', 'admin', 1, text, { listener: kind.name })
  }

  acceptedAll(): void {}

  trouble({ kind, place }: Listener, message: string): void {
    this.log.log('listener-failed', 'admin trouble', 1, () => `${place}: ${message}`, { listener: kind.name })
  }
}
