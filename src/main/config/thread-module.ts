import { statSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { reasonOf } from '../../workers/os/libc.js'
import { StartupError } from './startup-error.js'

/**
 * What `thread_module` says; undefined: nothing. It does what it likes in the broker, so it must be root's or our own. Throws
 * StartupError.
 */
export function threadModule(path: string | undefined, file: string): string | undefined {
  const refuse = (what: string): never => {
    throw new StartupError(`unsupported configuration: ${file}: thread_module: '${path}' ${what}`)
  }
  if (path === undefined || path === '') return undefined
  if (!isAbsolute(path)) return refuse('is no absolute path')
  try {
    const { mode, uid } = statSync(path)
    return (mode & 0o022) === 0 && (uid === 0 || uid === process.geteuid!()) ? path : refuse('can be written by others')
  } catch (error) {
    if (error instanceof StartupError) throw error
    return refuse(`cannot be read: ${reasonOf(error)}`)
  }
}
