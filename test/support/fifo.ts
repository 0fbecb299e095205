import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import type { Cleanup } from './cleanup.js'

const MIB = 1024 * 1024

/** A named pipe, made at `path`, whose reader takes what is in it when it is told to, and nothing before. */
export class Fifo {
  readonly #reader: number
  readonly #buffer = Buffer.alloc(MIB)

  constructor(cleanup: Cleanup, readonly path: string) {
    execFileSync('mkfifo', [path])
    this.#reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    cleanup.defer(() => Promise.resolve(closeSync(this.#reader)))
  }

  /** What is in it, 1 MiB at most; nothing if it is empty. */
  read(): string {
    try {
      return this.#buffer.toString('utf8', 0, readSync(this.#reader, this.#buffer))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      return ''
    }
  }

  /** Puts something into it until it has no room for a single byte. */
  fill(): void {
    const writer = openSync(this.path, constants.O_WRONLY | constants.O_NONBLOCK)
    for (let block = Buffer.alloc(4096, '.'); block.length > 0;) {
      try {
        writeSync(writer, block)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
        block = block.subarray(0, block.length >> 1)
      }
    }
    closeSync(writer)
  }
}
