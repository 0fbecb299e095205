import { UnixDatagramSender, EMSGSIZE } from '../../workers/os/datagram.js'
import { EAGAIN, errorText } from '../../workers/os/libc.js'
import type { AuditSink, Written } from './sink.js'

/** Sent in one go, so that the supervisor comes to other things in between. */
const MOST_AT_ONCE = 64

/** A UNIX socket that takes datagrams, one of each line. */
export class DatagramSink implements AuditSink {
  readonly #sender: UnixDatagramSender
  readonly #encode: (line: string) => Buffer

  constructor(path: string, encode: (line: string) => Buffer) {
    this.#sender = new UnixDatagramSender(path)
    this.#encode = encode
  }

  write(lines: readonly string[]): Promise<Written> {
    return Promise.resolve(this.#send(lines))
  }

  #send(lines: readonly string[]): Written {
    for (let done = 0; done < lines.length && done < MOST_AT_ONCE; done++) {
      const code = this.#sender.send(this.#encode(lines[done]!))
      if (code === EAGAIN) {
        // Somebody else may have taken the place of a receiver that takes nothing: the next one connects anew.
        if (done === 0) this.#sender.close()
        return { lines: done }
      }
      // A receiver that takes so little will never take this one.
      if (code !== 0 && code !== EMSGSIZE) return { lines: done, error: errorText(code) }
    }
    return { lines: Math.min(lines.length, MOST_AT_ONCE) }
  }

  reopen(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  close(): Promise<void> {
    this.#sender.close()
    return Promise.resolve()
  }
}
