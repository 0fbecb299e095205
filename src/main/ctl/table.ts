import { printable } from './printable.js'

type Cell = string | number | undefined

/** Rows under their headings, in columns as wide as they need to be. */
export function table(headings: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = [headings, ...rows.map(row => row.map(cell => printable(String(cell ?? '-'))))]
  const widths = headings.map((_, column) => cells.reduce((width, row) => Math.max(width, row[column]!.length), 0))
  return cells.map(row => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ').trimEnd()).join('\n')
}

/** Microseconds, in three or four digits. */
export function duration(micros: number): string {
  if (micros < 1000) return `${Math.round(micros)} µs`
  if (micros < 1_000_000) return `${(micros / 1000).toPrecision(3)} ms`
  return micros < 1e9 ? `${(micros / 1e6).toPrecision(3)} s` : `${Math.round(micros / 1e6)} s`
}

/** Of bytes, say, in three or four digits. */
export function amount(value: number): string {
  const unit = ['', 'k', 'M', 'G'].findIndex((_, power, { length }) => value < 999.5 * 1000 ** power || power === length - 1)
  return unit === 0 ? String(Math.round(value)) : `${(value / 1000 ** unit).toPrecision(3)}${['', 'k', 'M', 'G'][unit]}`
}

/** As a date and a time of this place. */
export function dateAndTime(ms: number): string {
  const date = new Date(ms)
  return new Date(ms - 60_000 * date.getTimezoneOffset()).toISOString().slice(0, 19).replace('T', ' ')
}
