import { Cards } from './cards.js'
import { Clients } from './clients.js'
import { Feed } from './feed.js'
import { History, quantile, sum } from './figures.js'
import { count, duration, rate, time } from './format.js'
import { MOST_STEPS, Plots } from './plots.js'
import { byId, say } from './table.js'

/** @typedef {import('../../src/main/page/live-state.js').LiveState} LiveState */

const history = new History(MOST_STEPS)
const plots = new Plots()
const cards = new Cards()
const clients = new Clients(() => feed.ask())
const feed = new Feed(() => clients.query, show, failed)
const pause = byId('pause')
/** That this page came with. @type {string | undefined} */
let release

/** @param {LiveState} state */
function show(state) {
  release ??= state.broker.version
  if (release !== state.broker.version) return location.reload()
  history.add(state)
  showBroker(state)
  showTiles(state)
  plots.show(history.steps, state.latencyBuckets)
  clients.show(state)
  cards.show(state, history.before)
  showLife()
}

/** @param {string} why */
function failed(why) {
  say(byId('live'), `Not up to date: ${why}`)
  say(byId('state'), 'no answer')
  byId('state').classList.add('bad')
}

// It is read aloud when it changes, and so not each second.
function showLife() {
  say(byId('live'), feed.paused ? `As of ${time(Date.now())}` : 'Live')
}

/** @param {LiveState} state */
function showBroker({ now, broker: { host, version, pid, state, since, notReady, refused } }) {
  document.title = `${host} – virtbroker`
  say(byId('host'), `${host}, version ${version}, process ${pid}, up ${duration(1000 * Math.max(0, now - since))}`)
  say(byId('state'), notReady.length === 0 ? state : `${state}, not ready`)
  byId('state').classList.remove('bad')
  byId('state').classList.toggle('warn', notReady.length > 0 || refused !== undefined)
  const notes = [...notReady, ...(refused === undefined ? [] : [`the configuration was not loaded anew: ${refused}`])]
  const notice = byId('notice')
  notice.hidden = notes.length === 0
  say(notice, notes.join('; '))
}

/** @param {LiveState} state */
function showTiles({ clients: { total, unauthenticated, byTransport }, drivers, refusals, latencyBuckets }) {
  const step = history.now
  const inFlight = sum(drivers.map(driver => driver.inFlight))
  const waiting = sum(drivers.map(driver => driver.waiting))
  const oldest = Math.max(0, ...drivers.map(driver => driver.oldestMs))
  const transports = Object.entries(byTransport).filter(([, number]) => number > 0).map(([name, number]) => `${count(number)} ${name}`)
  tile('clients', count(total), unauthenticated > 0 ? `${count(unauthenticated)} not logged in` : transports.join(', '))
  const { calls = undefined, notOk = 0 } = step ?? {}
  tile('calls', rate(calls), notOk === 0 ? 'all ok' : `${rate(notOk)} not ok`)
  tile('flight', count(inFlight), [
    waiting > 0 ? `${count(waiting)} wait` : '', oldest > 0 ? `oldest ${duration(1000 * oldest)}` : ''
  ].filter(text => text !== '').join(', '))
  for (const [name, share] of /** @type {const} */ ([['p50', 0.5], ['p99', 0.99]])) {
    say(byId(`tile-${name}`), (step && duration(quantile(step.durations, latencyBuckets, share))) ?? '–')
  }
  tile('refused', step === undefined ? '' : count(step.refused), `in 10 s; ${count(sum(Object.values(refusals)))} since the start`)
  byId('tile-refused').classList.toggle('bad', step !== undefined && step.refused > 0)
}

/**
 * @param {string} name
 * @param {string} value
 * @param {string} more
 */
function tile(name, value, more) {
  say(byId(`tile-${name}`), value === '' ? '–' : value)
  say(byId(`more-${name}`), more)
}

pause.addEventListener('click', () => {
  feed.paused = !feed.paused
  pause.setAttribute('aria-pressed', String(feed.paused))
  showLife()
  if (!feed.paused) feed.ask()
})
feed.ask()
