import { count, duration, rate, time } from './format.js'
import { quantile } from './figures.js'
import { byId, say } from './table.js'

/** @typedef {import('./figures.js').Step} Step */

/** Of one second, and of what stands before the first. */
const COLUMN = 5
const MARGIN = 48
const FOOT = 18
const MINUTE = 60
/** Durations that are named beside the strip, in microseconds. */
const NAMED = [100, 1000, 10_000, 100_000, 1e6, 10e6, 60e6]
/** As many seconds as a wide window has room for. */
export const MOST_STEPS = 240

/** Calls a second, and below, for each second, how many of them took how long. */
export class Plots {
  #rate = /** @type {HTMLCanvasElement} */ (byId('rate'))
  #heat = /** @type {HTMLCanvasElement} */ (byId('heat'))
  #readout = byId('readout')
  /** @type {readonly Step[]} */
  #steps = []
  /** @type {readonly number[]} */
  #bounds = []
  /** Of the step that is looked at, when it ended; undefined: the last one. @type {number | undefined} */
  #at

  constructor() {
    const draw = () => this.#draw()
    new ResizeObserver(draw).observe(this.#heat)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw)
    for (const canvas of [this.#rate, this.#heat]) {
      canvas.addEventListener('pointermove', event => this.#look(this.#indexAt(event.offsetX)))
      canvas.addEventListener('pointerleave', () => this.#look(undefined))
    }
    this.#heat.addEventListener('keydown', event => this.#pressed(event))
    this.#heat.addEventListener('blur', () => this.#look(undefined))
  }

  /**
   * @param {readonly Step[]} steps
   * @param {readonly number[]} bounds
   */
  show(steps, bounds) {
    this.#steps = steps
    this.#bounds = bounds
    this.#draw()
  }

  get #shown() {
    const room = Math.max(1, Math.floor((this.#heat.clientWidth - MARGIN) / COLUMN))
    return this.#steps.slice(-room)
  }

  /** @param {number} x */
  #indexAt(x) {
    const shown = this.#shown
    const index = shown.length - 1 - Math.floor((this.#heat.clientWidth - x) / COLUMN)
    return shown[index] === undefined ? undefined : index
  }

  /** @param {number | undefined} index */
  #look(index) {
    this.#at = index === undefined ? undefined : this.#shown[index]?.at
    this.#draw()
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const shown = this.#shown
    const last = shown.length - 1
    const now = this.#at === undefined ? last : shown.findIndex(({ at }) => at === this.#at)
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key]
    if (to === undefined) return
    event.preventDefault()
    const index = Math.max(0, Math.min(last, to))
    this.#look(index)
    // What is read aloud: the strip itself is a picture.
    for (const [name, value] of /** @type {const} */ ([['max', last], ['now', index], ['text', this.#readout.textContent]])) {
      this.#heat.setAttribute(`aria-value${name}`, String(value))
    }
  }

  #draw() {
    const shown = this.#shown
    const looked = shown.findIndex(({ at }) => at === this.#at)
    this.#drawRate(shown, looked)
    this.#drawHeat(shown, looked)
    const step = shown[looked] ?? shown.at(-1)
    if (step === undefined) return say(this.#readout, 'the first second…')
    const [p50, p99] = [0.5, 0.99].map(share => quantile(step.durations, this.#bounds, share))
    const times = p50 === undefined ? '' : `, half within ${duration(p50)}, 99 of 100 within ${duration(p99)}`
    const failed = step.notOk > 0 ? `, ${rate(step.notOk)} not ok` : ''
    say(this.#readout, `${time(step.at)}: ${rate(step.calls)} calls a second${failed}${times}`)
  }

  /**
   * @param {readonly Step[]} steps
   * @param {number} looked
   */
  #drawRate(steps, looked) {
    const { pen, width, height, colour } = prepare(this.#rate)
    const most = niceAbove(Math.max(1, ...steps.map(({ calls }) => calls)))
    const bottom = height - 1
    /** @param {number} calls */
    const y = calls => bottom - ((bottom - 8) * calls) / most
    pen.fillStyle = colour('--quiet')
    pen.textAlign = 'right'
    pen.fillText(count(most), MARGIN - 8, y(most))
    pen.fillText('0', MARGIN - 8, bottom - 4)
    rule(pen, colour('--line'), MARGIN, width, [y(most), bottom])
    const left = width - steps.length * COLUMN
    for (const [what, name] of /** @type {const} */ ([['calls', '--accent'], ['notOk', '--bad']])) {
      if (what === 'notOk' && steps.every(({ notOk }) => notOk === 0)) continue
      pen.beginPath()
      for (const [i, step] of steps.entries()) pen.lineTo(left + (i + 0.5) * COLUMN, y(step[what]))
      pen.strokeStyle = colour(name)
      pen.lineWidth = 1.5
      pen.lineJoin = 'round'
      pen.stroke()
      pen.lineTo(left + (steps.length - 0.5) * COLUMN, bottom)
      pen.lineTo(left + 0.5 * COLUMN, bottom)
      pen.globalAlpha = 0.12
      pen.fillStyle = colour(name)
      pen.fill()
      pen.globalAlpha = 1
    }
    if (looked >= 0) mark(pen, colour('--text'), left + (looked + 0.5) * COLUMN, height)
  }

  /**
   * @param {readonly Step[]} steps
   * @param {number} looked
   */
  #drawHeat(steps, looked) {
    const { pen, width, height, colour } = prepare(this.#heat)
    const buckets = this.#bounds.length + 1
    const bottom = height - FOOT
    const row = bottom / buckets
    const left = width - steps.length * COLUMN
    pen.fillStyle = colour('--quiet')
    pen.textAlign = 'right'
    const named = NAMED.map(micros => /** @type {const} */ ([micros, bottom - (this.#bounds.indexOf(micros) + 1) * row]))
    for (const [micros, y] of named) pen.fillText(duration(micros), MARGIN - 8, y)
    rule(pen, colour('--line'), MARGIN, width, [...named.map(([, y]) => y), bottom])
    pen.textAlign = 'center'
    pen.fillStyle = colour('--quiet')
    for (let minute = 1; minute * MINUTE * COLUMN < width - MARGIN - 20; minute++) {
      pen.fillText(`${minute} min ago`, width - minute * MINUTE * COLUMN, height - 7)
    }
    // A few calls are to be seen beside many.
    const most = Math.log1p(Math.max(1, ...steps.flatMap(({ durations }) => durations)))
    pen.fillStyle = colour('--accent')
    for (const [i, { durations }] of steps.entries()) {
      for (const [bucket, calls] of durations.entries()) {
        if (calls <= 0) continue
        pen.globalAlpha = 0.15 + (0.85 * Math.log1p(calls)) / most
        pen.fillRect(left + i * COLUMN, bottom - (bucket + 1) * row, COLUMN - 1, row - 1)
      }
    }
    pen.globalAlpha = 1
    if (looked >= 0) mark(pen, colour('--text'), left + (looked + 0.5) * COLUMN, bottom)
  }
}

/**
 * An empty canvas, in pixels of the page.
 * @param {HTMLCanvasElement} canvas
 */
function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas
  const scale = window.devicePixelRatio
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)]
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h]
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'))
  pen.setTransform(scale, 0, 0, scale, 0, 0)
  pen.clearRect(0, 0, width, height)
  const style = getComputedStyle(canvas)
  pen.font = `11px ${style.fontFamily}`
  pen.textBaseline = 'middle'
  return { pen, width, height, colour: (/** @type {string} */ name) => style.getPropertyValue(name) }
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {string} colour
 * @param {number} from
 * @param {number} to
 * @param {readonly number[]} at
 */
function rule(pen, colour, from, to, at) {
  pen.fillStyle = colour
  for (const y of at) pen.fillRect(from, Math.round(y), to - from, 1)
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {string} colour
 * @param {number} x
 * @param {number} height
 */
function mark(pen, colour, x, height) {
  pen.fillStyle = colour
  pen.fillRect(Math.round(x), 0, 1, height)
}

/** @param {number} value */
function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * (/** @type {number} */ ([1, 2, 5, 10].find(step => step * power >= value)))
}
