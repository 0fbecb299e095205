import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a directory, and those that it is in, where they are not there. Throws the system's own error. Each is tried
 * twice at most: Node's `recursive` tries for ever where a directory is there and nothing can be made in it, as in one
 * that has been removed or in /proc.
 */
export function makeDirectory(path: string, mode = 0o777): void {
  const missing = attempt(path, mode)
  if (missing === undefined) return
  const parent = dirname(path)
  if (parent === path) throw missing
  makeDirectory(parent, mode)
  const still = attempt(path, mode)
  if (still !== undefined) throw still
}

/** Returns the error where what the directory would be in is missing; throws others. */
function attempt(path: string, mode: number): Error | undefined {
  try {
    mkdirSync(path, mode)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return error as Error
    if (code !== 'EEXIST') throw error
    // If it is no directory, looking into it fails with the reason.
    statSync(`${path}/.`)
  }
  return undefined
}
