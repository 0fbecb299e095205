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
  // Made here, it knows who waits.
  const vain = new Error(`waited ${timeout} ms in vain for ${what}`)
  for (;;) {
    const found = await probe()
    if (found !== undefined && found !== false) return found
    if (Date.now() > end) throw vain
    await sleep(20)
  }
}

/** What `probe` gives when it has given the same for half a second. */
export async function settled(what: string, probe: () => number): Promise<number> {
  let last = probe()
  let since = performance.now()
  await waitFor(`an end to changes of ${what}`, () => {
    const now = probe()
    if (now !== last) since = performance.now()
    last = now
    return performance.now() - since > 500
  })
  return last
}
