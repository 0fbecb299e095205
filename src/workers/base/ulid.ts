import { randomFillSync } from 'node:crypto'

/** Crockford's alphabet: no letters that are taken for digits. */
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const RANDOM_DIGITS = 16

const pool = new Uint8Array(256 * RANDOM_DIGITS)
let used = pool.length

/** An id that sorts by time (github.com/ulid/spec): 48 bits of milliseconds, and 80 random ones. */
export function ulid(time: number): string {
  let text = ''
  for (let rest = time, i = 0; i < 10; i++, rest = Math.floor(rest / 32)) text = DIGITS[rest % 32]! + text
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  for (const end = used + RANDOM_DIGITS; used < end;) text += DIGITS[pool[used++]! & 31]!
  return text
}
