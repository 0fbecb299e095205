import { printable } from './format.js'

/**
 * A value in a table: text, or text that is to be seen as `bad`, `warn` or `quiet`.
 * @typedef {string | { text: string, mark: string } | Element} Cell
 *
 * @typedef {object} Column
 * @property {string} title
 * @property {boolean} [number] to the right
 * @property {boolean} [short] never broken into lines, where there is room
 */

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {string} [text]
 * @param {string} [classes]
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, text, classes) {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = printable(text)
  if (classes !== undefined && classes !== '') made.className = classes
  return made
}

/**
 * Sets a text, if it is another: what has not changed is not drawn, nor read aloud.
 * @param {Element} of
 * @param {string} text
 */
export function say(of, text) {
  const shown = printable(text)
  if (of.textContent !== shown) of.textContent = shown
}

/** @param {string} id */
export function byId(id) {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`there is no #${id}`)
  return found
}

/** The rows of a table, each named by its first cell; changed in place: what has the focus, or is selected, stays. */
export class Rows {
  #body
  #columns
  #stacked

  /**
   * @param {HTMLTableSectionElement} body
   * @param {readonly Column[]} columns
   * @param {boolean} stacked rows are cards on a telephone: what they are has to be said then
   */
  constructor(body, columns, stacked) {
    this.#body = body
    this.#columns = columns
    this.#stacked = stacked
  }

  /** @param {readonly (readonly Cell[])[]} rows */
  show(rows) {
    const body = this.#body
    while (body.rows.length > rows.length) body.deleteRow(-1)
    for (const [at, cells] of rows.entries()) {
      const row = body.rows[at] ?? this.#insert()
      for (const [i, cell] of cells.entries()) fill(/** @type {HTMLTableCellElement} */ (row.cells[i]), cell)
    }
  }

  #insert() {
    const row = this.#body.insertRow()
    if (this.#stacked) row.setAttribute('role', 'row')
    for (const [i, column] of this.#columns.entries()) {
      const { title } = column
      const isHead = i === 0
      const cell = element(isHead ? 'th' : 'td', '', looksOf(column))
      if (isHead) cell.scope = 'row'
      if (this.#stacked) {
        cell.setAttribute('role', isHead ? 'rowheader' : 'cell')
        if (!isHead) cell.dataset.name = title
      }
      row.append(cell)
    }
    return row
  }
}

/**
 * @param {HTMLTableCellElement} into
 * @param {Cell} cell
 */
function fill(into, cell) {
  if (cell instanceof Element) {
    if (into.firstElementChild?.isEqualNode(cell) !== true) into.replaceChildren(cell)
    return
  }
  const { text, mark } = typeof cell === 'string' ? { text: cell, mark: '' } : cell
  say(into, text)
  for (const name of ['bad', 'warn', 'quiet']) into.classList.toggle(name, name === mark)
  // What is cut off can be read all the same.
  if (into.title !== into.textContent && text.length > 12) into.title = into.textContent
}

/** @param {Column} column */
const looksOf = ({ number, short }) => `${number ? 'number' : 'text'}${short ? ' short' : ''}`

/**
 * A table with its head.
 * @param {string} id of an empty table
 * @param {readonly Column[]} columns
 */
export function makeTable(id, columns) {
  const table = /** @type {HTMLTableElement} */ (byId(id))
  const stacked = table.classList.contains('stacked')
  const head = table.createTHead()
  const row = head.insertRow()
  const body = table.createTBody()
  for (const column of columns) {
    const cell = element('th', column.title, looksOf(column))
    cell.scope = 'col'
    if (stacked) cell.setAttribute('role', 'columnheader')
    row.append(cell)
  }
  if (stacked) {
    for (const part of [head, body]) part.setAttribute('role', 'rowgroup')
    row.setAttribute('role', 'row')
  }
  return new Rows(body, columns, stacked)
}
