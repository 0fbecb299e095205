import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
  type Stats
} from 'node:fs'
import { constants as systemConstants } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { errno, errorText, O_CLOEXEC, O_PATH, openat } from '../os/libc.js'
import { makeDirectory } from '../os/make-directory.js'

const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants
const { EACCES, EEXIST, EISDIR, ENOSPC } = systemConstants.errno

/** What all files together may hold, in bytes: run directories are in memory. */
const MOST_BYTES = 64 * 1024 * 1024
/** A file counts for this much at least, so that small ones are bounded in number too. */
const LEAST_BYTES = 64 * 1024

/** A file that cannot be had: `errno`, and the system's words for it as the message. */
export class FileFailure extends Error {
  constructor(
    readonly errno: number,
    readonly step: 'open' | 'write' = 'open'
  ) {
    super(errorText(errno))
  }
}

/**
 * The files that clients can name: those below one directory, which belongs to the driver alone. Whatever lies
 * elsewhere is refused without a look at it, so that nobody learns what is there. Below, each part of a path is opened
 * by itself, from the directory's descriptor on: no link is followed, neither parents nor names that change meanwhile
 * lead out, and the path to the directory need not be open to the user that the driver runs as.
 */
export class PrivateFiles {
  readonly directory: string
  readonly #root: number
  /** By path below the directory: bytes that count. */
  readonly #held = new Map<string, number>()

  /**
   * Makes the directory, with mode 0700, if it is not there. If it is, it must be this process's, or that of the user
   * that it is to be given to.
   */
  constructor(directory: string, owner = process.geteuid!()) {
    this.directory = resolve(directory)
    makeDirectory(this.directory, 0o700)
    this.#root = openSync(this.directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    try {
      const { uid } = fstatSync(this.#root)
      if (uid !== process.geteuid!() && uid !== owner) {
        throw new Error(`'${directory}' belongs to another user (${uid}): remove it, or give it to ${owner}`)
      }
      fchmodSync(this.#root, 0o700)
      for (const entry of readdirSync(this.directory, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name)
        const size = entry.isFile() ? lstatSync(path, { throwIfNoEntry: false })?.size : undefined
        if (size !== undefined) this.#held.set(relative(this.directory, path), counted(size))
      }
    } catch (error) {
      closeSync(this.#root)
      throw error
    }
  }

  giveTo(uid: number, gid: number): void {
    const now = fstatSync(this.#root)
    if (now.uid !== uid || now.gid !== gid) fchownSync(this.#root, uid, gid)
  }

  close(): void {
    closeSync(this.#root)
  }

  /** The full path that a client's path means: one that is not absolute starts at the directory. */
  resolve(path: string): string {
    return resolve(this.directory, path)
  }

  /** The first bytes of a file, up to `most`. Throws FileFailure. */
  read(path: string, most: number): Buffer {
    const fd = this.#open(this.#below(path), O_RDONLY)
    try {
      const bytes = Buffer.alloc(Math.min(regular(fd).size, most))
      return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0))
    } finally {
      closeSync(fd)
    }
  }

  /** Writes a file that is new, or empty, or begins with the same `magic` as what is written. Throws FileFailure. */
  write(path: string, magic: Buffer, ...more: Buffer[]): void {
    const below = this.#below(path)
    const bytes = Buffer.concat([magic, ...more])
    this.#makeRoom(below, bytes.length)
    const fd = this.#open(below, O_CREAT | O_RDWR)
    try {
      regular(fd)
      const head = Buffer.alloc(magic.length)
      if (readSync(fd, head, 0, head.length, 0) > 0 && !head.equals(magic)) throw new FileFailure(EEXIST, 'write')
      this.#held.set(below, counted(bytes.length))
      ftruncateSync(fd, 0)
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, at)
    } catch (error) {
      if (error instanceof FileFailure) throw error
      throw new FileFailure(Math.abs((error as NodeJS.ErrnoException).errno ?? 0), 'write')
    } finally {
      closeSync(fd)
    }
  }

  /** Takes the path apart and looks at nothing. */
  #below(path: string): string {
    const below = relative(this.directory, this.resolve(path))
    if (below === '..' || below.startsWith('../') || below.includes('\0')) throw new FileFailure(EACCES)
    return below === '' ? '.' : below
  }

  #open(below: string, flags: number): number {
    const names = below.split('/')
    const last = names.pop()!
    let at = this.#root
    const step = (name: string, how: number): number => {
      const fd = openat(at, name, how | O_NOFOLLOW | O_CLOEXEC, 0o600)
      const code = errno()
      if (at !== this.#root) closeSync(at)
      if (fd < 0) throw new FileFailure(code)
      return fd
    }
    for (const name of names) at = step(name, O_PATH | O_DIRECTORY)
    // Whatever it may turn out to be, opening it must not wait.
    return step(last, flags | O_NONBLOCK)
  }

  #makeRoom(below: string, length: number): void {
    const fits = (): boolean => {
      let sum = counted(length)
      for (const [path, bytes] of this.#held) if (path !== below) sum += bytes
      return sum <= MOST_BYTES
    }
    if (fits()) return
    for (const path of this.#held.keys()) if (!this.#isThere(path)) this.#held.delete(path)
    if (!fits()) throw new FileFailure(ENOSPC, 'write')
  }

  #isThere(below: string): boolean {
    try {
      closeSync(this.#open(below, O_PATH))
      return true
    } catch {
      return false
    }
  }
}

/** Nothing but a file with one name: a second name could stand elsewhere, where it means something. */
function regular(fd: number): Stats {
  const stat = fstatSync(fd)
  if (stat.isDirectory()) throw new FileFailure(EISDIR)
  if (!stat.isFile() || stat.nlink !== 1) throw new FileFailure(EACCES)
  return stat
}

const counted = (bytes: number): number => Math.max(bytes, LEAST_BYTES)
