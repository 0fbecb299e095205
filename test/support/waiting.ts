import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Asks `probe` again and again until it gives something else than undefined or false.
 *
 * @param what shown in the error when the time is over
 * @param timeout milliseconds
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  timeout = 30_000
): Promise<T> {
  const end = Date.now() + timeout
  for (;;) {
    const found = await probe()
    if (found !== undefined && found !== false) return found
    if (Date.now() > end) throw new Error(`waited ${timeout} ms in vain for ${what}`)
    await sleep(20)
  }
}
