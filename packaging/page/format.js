/**
 * Clients choose parts of what is shown: control characters, and those that change the direction of writing, break lines or
 * show nothing, are replaced.
 * @param {string} text
 */
export const printable = text => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '\ufffd')

/** A thin space: it does not break. */
const THIN = '\u202f'
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

/** @param {number} value */
export const count = value => whole.format(value)

/**
 * Three digits, more or less.
 * @param {number | undefined} value
 */
export function rate(value) {
  if (value === undefined) return ''
  if (value >= 100 || value === 0) return count(value)
  return value < 0.05 ? '<0.1' : value.toFixed(1)
}

/** @type {readonly (readonly [number, string])[]} */
const TIMES = [[1, 'µs'], [1e3, 'ms'], [1e6, 's'], [60e6, 'min'], [3600e6, 'h'], [86400e6, 'd']]

/**
 * With one unit.
 * @param {number | undefined} micros
 */
export function duration(micros) {
  if (micros === undefined) return ''
  const [unit, name] = TIMES.findLast(([unit]) => micros >= unit) ?? [1, 'µs']
  const value = micros / unit
  return `${value < 10 && unit > 1 ? value.toFixed(1).replace(/\.0$/, '') : count(value)}${THIN}${name}`
}

const BYTES = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** @param {number | undefined} value */
export function bytes(value) {
  if (value === undefined) return ''
  const power = value < 1000 ? 0 : Math.min(BYTES.length - 1, Math.floor(Math.log10(value) / 3))
  const scaled = value / 1000 ** power
  return `${power > 0 && scaled < 10 ? scaled.toFixed(1) : count(scaled)}${THIN}${BYTES[power]}`
}

/** @param {number} value of 1 */
export const percent = value => `${value < 0.1 ? (100 * value).toFixed(1) : count(100 * value)}${THIN}%`

const clock = new Intl.DateTimeFormat('sv', { timeStyle: 'medium' })
const day = new Intl.DateTimeFormat('sv', { dateStyle: 'short' })

/** @param {number} ms since the epoch */
export const time = ms => clock.format(ms)
/** @param {number} ms since the epoch */
export const date = ms => day.format(ms)
