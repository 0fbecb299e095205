import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { reasonOf } from '../../workers/os/libc.js'
import { StartupError } from './startup-error.js'

const FORM = /^[\x21-\x7e]{32,256}\n?$/
const MOST_BYTES = 257

/** All that is kept of a token. */
export const digestOf = (token: string): Uint8Array => createHash('sha256').update(token).digest()

/** The digest of the token in the file that `metrics_token` names; undefined: there is none. Throws StartupError. */
export function metricsToken(path: string | undefined, file: string): Uint8Array | undefined {
  if (path === undefined || path === '') return undefined
  const refuse = (what: string): never => {
    throw new StartupError(`unsupported configuration: ${file}: metrics_token: '${path}' ${what}`)
  }
  if (!isAbsolute(path)) return refuse('is no absolute path')
  let fd: number | undefined
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = fstatSync(fd)
    if (!stats.isFile()) return refuse('is no file')
    if ((stats.mode & 0o077) !== 0) return refuse('can be read by others: chmod 600')
    if (stats.uid !== 0 && stats.uid !== process.geteuid!()) return refuse('is somebody else\'s')
    const bytes = Buffer.alloc(MOST_BYTES + 1)
    const text = bytes.toString('latin1', 0, readSync(fd, bytes))
    return FORM.test(text) ? digestOf(text.trimEnd()) : refuse('has no line of 32 to 256 printable characters without blanks, alone')
  } catch (error) {
    if (error instanceof StartupError) throw error
    return refuse(`cannot be read: ${reasonOf(error)}`)
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
