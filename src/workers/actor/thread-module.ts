import { fileURLToPath, pathToFileURL } from 'node:url'
import { failureText, SOURCE, type Log } from '../base/log.js'

/** With the sources, which stacks name where Node reads source maps. */
const OWN_CODE = fileURLToPath(new URL('../../..', import.meta.url))
/** A place in a file, in a line of a stack. */
const PLACE = /(?:file:\/\/)?(\/[^()]+):\d+:\d+\)?$/

/** Loads a module of the administrator's. Why it cannot be had, if so. */
export async function loadModule(module: string): Promise<string | undefined> {
  try {
    await import(pathToFileURL(module).href)
    return undefined
  } catch (error) {
    return `thread_module: ${failureText(error)}`
  }
}

/**
 * What it throws while it is told of something, or later, ends neither a client nor the thread. What our own code throws
 * where nobody catches it still does.
 */
export function outliveModule(log: Log): void {
  process.on('uncaughtException', error => {
    if (isOurs(error)) throw error
    log('module-threw', SOURCE.daemon, `thread_module: ${failureText(error)}`)
  })
}

/** By the first place of its stack that is in a file. */
export function isOurs(error: unknown): boolean {
  const lines = error instanceof Error ? (error.stack ?? '').split('\n') : []
  const [, path] = lines.map(line => PLACE.exec(line)).find(found => found !== null) ?? []
  return path?.startsWith(OWN_CODE) === true
}
