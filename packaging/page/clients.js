import { byId, element, Rows, say } from './table.js'
import { bytes, count, duration, rate } from './format.js'

/**
 * @typedef {import('../../src/main/page/live-state.js').ClientRow} ClientRow
 * @typedef {import('../../src/main/page/query.js').SortedBy} SortedBy
 * @typedef {import('./table.js').Column & { by: SortedBy, width: string }} ClientColumn
 */

/** @type {readonly ClientColumn[]} */
const COLUMNS = [
  { title: 'Who', by: 'user', width: '22%' },
  { title: 'Address', by: 'address', width: '13%' },
  { title: 'Transport', by: 'transport', width: '8%' },
  { title: 'Driver', by: 'driver', width: '13%' },
  { title: 'State', by: 'state', width: '7%' },
  { title: 'Calls/s', by: 'calls', width: '7%', number: true },
  { title: 'In flight', by: 'inFlight', width: '8%', number: true },
  { title: 'Oldest', by: 'oldest', width: '7%', number: true },
  { title: 'In/s', by: 'in', width: '7%', number: true },
  { title: 'Out/s', by: 'out', width: '8%', number: true }
]
const FILTER_MS = 200

/** The table of clients: which of them, and in which order, the broker decides. */
export class Clients {
  /** @type {SortedBy} */
  #sort = 'calls'
  #descending = true
  #changed
  #rows
  /** @type {Map<SortedBy, HTMLTableCellElement>} */
  #heads = new Map()
  #filter = /** @type {HTMLInputElement} */ (byId('filter'))
  #most = /** @type {HTMLSelectElement} */ (byId('rows'))
  #matching = byId('matching')

  /** @param {() => void} changed others are wanted */
  constructor(changed) {
    this.#changed = changed
    const table = /** @type {HTMLTableElement} */ (byId('client-table'))
    const [body] = table.tBodies
    const row = table.tHead?.rows[0]
    if (body === undefined || row === undefined) throw new Error('the table of clients is not there')
    for (const column of COLUMNS) row.append(this.#head(column))
    this.#rows = new Rows(body, COLUMNS, true)
    let timer = 0
    this.#filter.addEventListener('input', () => {
      clearTimeout(timer)
      timer = window.setTimeout(changed, FILTER_MS)
    })
    this.#most.addEventListener('change', changed)
    this.#showOrder()
  }

  /** What the broker is asked for. */
  get query() {
    return new URLSearchParams({
      sort: this.#sort, order: this.#descending ? 'descending' : 'ascending', filter: this.#filter.value, rows: this.#most.value
    })
  }

  /** @param {import('../../src/main/page/live-state.js').LiveState} state */
  show({ table: { rows, matching }, clients: { total } }) {
    this.#rows.show(rows.map(cellsOf))
    const all = matching === total ? count(total) : `${count(matching)} of ${count(total)} match`
    say(this.#matching, rows.length < matching ? `${all}; the first ${rows.length}` : all)
  }

  /** @param {ClientColumn} column */
  #head({ title, by, width, number }) {
    const cell = element('th', '', number ? 'number' : '')
    cell.scope = 'col'
    cell.setAttribute('role', 'columnheader')
    cell.style.width = width
    const button = element('button', title)
    button.type = 'button'
    button.addEventListener('click', () => this.#sortBy(by, number === true))
    cell.append(button)
    this.#heads.set(by, cell)
    return cell
  }

  /**
   * @param {SortedBy} by
   * @param {boolean} number of these the largest first
   */
  #sortBy(by, number) {
    this.#descending = this.#sort === by ? !this.#descending : number
    this.#sort = by
    this.#showOrder()
    this.#changed()
  }

  #showOrder() {
    for (const [by, head] of this.#heads) {
      if (by === this.#sort) head.setAttribute('aria-sort', this.#descending ? 'descending' : 'ascending')
      else head.removeAttribute('aria-sort')
    }
  }
}

/**
 * @param {ClientRow} row
 * @returns {import('./table.js').Cell[]}
 */
function cellsOf({ id, user, address, transport, readonly, driver, state, activity }) {
  const { inFlight = 0, waiting = 0, oldestMs = 0, perSecond } = activity ?? {}
  const flight = waiting > 0 ? `${count(inFlight)} + ${count(waiting)}` : inFlight > 0 ? count(inFlight) : ''
  return [
    user ?? `client ${id}`,
    address ?? '',
    readonly ? `${transport} ro` : transport,
    driver ?? '',
    { text: state, mark: state === 'serving' ? 'quiet' : '' },
    nothingOr(perSecond?.calls, rate),
    flight,
    oldestMs > 0 ? duration(1000 * oldestMs) : '',
    nothingOr(perSecond?.in, bytes),
    nothingOr(perSecond?.out, bytes)
  ]
}

/**
 * What is nothing is not in the way of what is something.
 * @param {number | undefined} value
 * @param {(value: number) => string} format
 */
const nothingOr = (value, format) => (value === undefined || value === 0 ? '' : format(value))
