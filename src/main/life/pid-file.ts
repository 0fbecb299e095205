import { closeSync, constants, fstatSync, ftruncateSync, lstatSync, openSync, writeSync, type Stats } from 'node:fs'
import { lockedBy, lockFile } from '../../workers/os/file-lock.js'
import { errorText, reasonOf } from '../../workers/os/libc.js'
import { kindOf } from '../../workers/os/occupant.js'
import { fileId, removeIf, sameFile, type FileId } from '../../workers/os/own-file.js'
import { StartupError } from '../config/startup-error.js'

// Not through a link, and without waiting for the reader of a FIFO.
const { O_RDONLY, O_WRONLY, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants
/** The one who had it before may remove it while we wait for the lock. */
const MAX_TRIES = 100

/**
 * The pid file: holding a write lock on its first byte says that an instance runs, so a stale file does no harm and
 * its content is simply replaced. Throws StartupError if another instance has it, or if it may be another file than it
 * seems: the directory can be one in which others make files.
 */
export class PidFile {
  readonly #fd: number
  readonly #id: FileId

  constructor(readonly path: string) {
    this.#fd = acquire(path)
    this.#id = fileId(this.#fd)!
    try {
      ftruncateSync(this.#fd)
      writeSync(this.#fd, String(process.pid))
    } catch (error) {
      this.remove()
      throw new StartupError(`Failed to write to pid file '${path}': ${reasonOf(error)}`)
    }
  }

  /** Unless it is another's by now. Throws if it cannot be removed. */
  remove(): void {
    try {
      removeIf(this.path, this.#id)
    } finally {
      closeSync(this.#fd)
    }
  }
}

/** Why what is at a path will not be taken for a pid file; undefined also if there is nothing. */
export function pidFileObstacle(path: string): string | undefined {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false })
    const why = stats && objection(stats)
    return why && cannotOpenPidFile(path, why)
  } catch (error) {
    return cannotOpenPidFile(path, reasonOf(error))
  }
}

/** Who runs with the pid file; 0 is a process outside this container. Undefined: nobody, or that cannot be told. */
export function runningWith(path: string): number | undefined {
  if (path === '' || pidFileObstacle(path) !== undefined) return undefined
  let fd: number
  try {
    fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch {
    return undefined
  }
  try {
    return lockedBy(fd)
  } finally {
    closeSync(fd)
  }
}

export const cannotOpenPidFile = (path: string, why: string): string => `Failed to open pid file '${path}': ${why}`

function objection(stats: Stats): string | undefined {
  if (!stats.isFile()) return `it is ${kindOf(stats)}`
  if (stats.nlink > 1) return 'it has other names too'
  if (stats.uid !== 0 && stats.uid !== process.geteuid!()) return `it belongs to user ${stats.uid}`
  return undefined
}

function acquire(path: string): number {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    // What is wrong with a link or a device is said in words of our own.
    const why = pidFileObstacle(path)
    if (why !== undefined) throw new StartupError(why)
    const fd = open(path)
    try {
      const later = objection(fstatSync(fd))
      if (later !== undefined) throw new StartupError(cannotOpenPidFile(path, later))
      const code = lockFile(fd)
      if (code !== 0) throw new StartupError(`Failed to acquire pid file '${path}': ${errorText(code)}`)
      if (sameFile(fileId(path), fileId(fd)!)) return fd
    } catch (error) {
      closeSync(fd)
      throw error
    }
    closeSync(fd)
  }
  throw new StartupError(`Failed to acquire pid file '${path}': it is removed again and again`)
}

function open(path: string): number {
  try {
    return openSync(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o644)
  } catch (error) {
    throw new StartupError(cannotOpenPidFile(path, reasonOf(error)))
  }
}
