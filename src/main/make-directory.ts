import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { errorText } from '../workers/os/libc.js'
import { ConfError, EXIT } from './config/grammar.js'

/**
 * Makes a directory, and those that it is in, where they are not there. Throws a ConfError in libvirt's words: Node's own
 * way tells of a missing directory where the file system is read-only.
 */
export function makeDirectory(path: string): void {
  try {
    make(path)
  } catch (error) {
    throw new ConfError(`unable to create rundir ${path}: ${errorText(-(error as NodeJS.ErrnoException).errno!)}`, EXIT.runDir)
  }
}

function make(path: string): void {
  try {
    mkdirSync(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && dirname(path) !== path) {
      make(dirname(path))
      mkdirSync(path)
      // Looking into what is there fails with the reason if it is no directory.
    } else if (code === 'EEXIST') statSync(`${path}/.`)
    else throw error
  }
}
