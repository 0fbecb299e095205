import { closeSync, constants, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { errno, errorText, fcntlLock, Memory } from '../workers/os/libc.js'
import { ConfError } from './config/grammar.js'

const F_SETLK = 6
const F_WRLCK = 1
const { O_WRONLY, O_CREAT } = constants

/**
 * The pid file: holding a write lock on its first byte says that an instance runs, so a stale file does no harm and
 * its content is simply replaced. Throws ConfError if another instance has it.
 */
export class PidFile {
  readonly #fd: number

  constructor(readonly path: string) {
    try {
      this.#fd = openSync(path, O_WRONLY | O_CREAT, 0o644)
    } catch (error) {
      throw new ConfError(`Failed to open pid file '${path}': ${errorText(-(error as NodeJS.ErrnoException).errno!)}`)
    }
    // struct flock: type, whence, start, length, pid; 64-bit offsets on every platform that we run on.
    const lock = new Memory(32)
    lock.bytes.fill(0)
    lock.bytes.writeInt16LE(F_WRLCK, 0)
    lock.bytes.writeBigInt64LE(1n, 16)
    if (fcntlLock(this.#fd, F_SETLK, lock.address) !== 0) {
      const reason = errorText(errno())
      closeSync(this.#fd)
      throw new ConfError(`Failed to acquire pid file '${path}': ${reason}`)
    }
    ftruncateSync(this.#fd)
    writeSync(this.#fd, String(process.pid))
  }

  remove(): void {
    unlinkSync(this.path)
    closeSync(this.#fd)
  }
}
