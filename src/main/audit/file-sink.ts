import { close, constants, open, write } from 'node:fs'
import { promisify } from 'node:util'
import { reasonOf } from '../../workers/os/libc.js'
import { EXIT, StartupError } from '../config/startup-error.js'
import type { AuditSink, Written } from './sink.js'

/** A FIFO that nobody reads is refused, and one that is full takes nothing for now. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK
const MODE = 0o600
/** Bytes of one write: what a disk takes in a moment. */
const MOST_BYTES = 256 * 1024

const openFile = promisify(open)
const writeFile = promisify(write)

/** A file, which only grows. It is written by the threads that Node has for that, one write at a time. */
export class FileSink implements AuditSink {
  #fd: number
  /** Bytes of the next line that are written already. */
  #begun = 0
  /** What is to be written to from the next line on. */
  #next: number | undefined
  #busy = false
  #closed = false
  #end: () => void = () => {}
  readonly #ended = new Promise<void>(resolve => (this.#end = resolve))
  troubled: AuditSink['troubled']

  private constructor(readonly path: string, fd: number) {
    this.#fd = fd
  }

  /** Rejects with StartupError. */
  static async open(path: string): Promise<FileSink> {
    try {
      return new FileSink(path, await openFile(path, FLAGS, MODE))
    } catch (error) {
      const errno = -((error as NodeJS.ErrnoException).errno ?? 0)
      throw new StartupError(`audit_output: failed to open ${path}: ${reasonOf(error)}`, EXIT.failure, errno)
    }
  }

  async write(lines: readonly string[]): Promise<Written> {
    const parts: Buffer[] = []
    for (let bytes = 0; bytes < MOST_BYTES && parts.length < lines.length;) {
      const part = Buffer.from(`${lines[parts.length]!}\n`)
      bytes += part.length
      parts.push(part)
    }
    this.#busy = true
    try {
      const whole = Buffer.concat(parts)
      const { bytesWritten } = await writeFile(this.#fd, whole, this.#begun, whole.length - this.#begun, null)
      return { lines: this.#wrote(parts, bytesWritten) }
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? { lines: 0 } : { lines: 0, error: reasonOf(error) }
    } finally {
      this.#busy = false
      this.#settle()
    }
  }

  /** How many lines are written to their ends. */
  #wrote(parts: readonly Buffer[], bytes: number): number {
    let done = 0
    this.#begun += bytes
    while (done < parts.length && this.#begun >= parts[done]!.length) this.#begun -= parts[done++]!.length
    return done
  }

  async reopen(): Promise<string | undefined> {
    try {
      const fd = await openFile(this.path, FLAGS, MODE)
      if (this.#next !== undefined) this.#release(this.#next)
      this.#next = fd
      this.#settle()
      return undefined
    } catch (error) {
      return `failed to open ${this.path}: ${reasonOf(error)}`
    }
  }

  close(): Promise<void> {
    this.#closed = true
    this.#settle()
    return this.#ended
  }

  /** A descriptor is the writer's until it has come back. */
  #settle(): void {
    if (this.#busy) return
    if (this.#next !== undefined) {
      if (this.#fd >= 0) this.#release(this.#fd)
      this.#fd = this.#next
      this.#next = undefined
      // No half of a line in each file.
      this.#begun = 0
    }
    if (this.#closed && this.#fd >= 0) {
      this.#release(this.#fd, this.#end)
      // One that is opened later is closed as well.
      this.#fd = -1
    }
  }

  #release(fd: number, done?: () => void): void {
    close(fd, error => {
      if (error !== null) this.troubled?.(`failed to close ${this.path}: ${reasonOf(error)}`)
      done?.()
    })
  }
}
