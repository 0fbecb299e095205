import { bytes, count, date, duration, percent, rate, time } from './format.js'
import { quantile, since, sum } from './figures.js'
import { byId, makeTable, say } from './table.js'

/** @typedef {import('../../src/main/page/live-state.js').LiveState} LiveState */

const MOST_PROCEDURES = 8
const SOON_DAYS = 14
const DAY_MS = 86_400_000
/** From which part of a limit on it is short. */
const SHORT = 0.9
const BUSY = 0.8
const LATE_MS = 250

/** @type {Record<string, string>} */
const REFUSALS = {
  max_clients: 'connection: max_clients',
  anonymous: 'connection: not logged in, for another',
  per_identity: 'connection: address or user has enough',
  proxy_header: 'connection: PROXY header',
  descriptor: 'connection: no descriptor',
  memory: 'connection: memory',
  tls: 'login: certificate',
  auth: 'login: wrong',
  policy: 'call: policy',
  read_only: 'call: read-only'
}

/** All that is told beside the clients and the plots. */
export class Cards {
  #drivers = makeTable('drivers', [
    { title: 'Driver' }, { title: 'Daemon' }, { title: 'Clients', number: true }, { title: 'Calls/s', number: true },
    { title: 'In flight', number: true }, { title: 'Oldest', number: true }, { title: 'Median', number: true },
    { title: '99 %', number: true }, { title: 'Not ok/s', number: true }
  ])
  #slow = makeTable('slow', [
    { title: 'Call', short: true }, { title: 'On' }, { title: 'Client' }, { title: 'Ended', short: true },
    { title: 'Broker', number: true }, { title: 'Daemon', number: true }, { title: 'Error', number: true }
  ])
  #procedures = makeTable('procedures', [
    { title: 'Procedure', short: true }, { title: 'Driver', short: true }, { title: 'Calls/s', number: true },
    { title: 'Mean', number: true }, { title: 'Of the time', number: true }
  ])
  #threads = makeTable('threads', [
    { title: 'Thread' }, { title: 'Clients', number: true }, { title: 'Busy', number: true }, { title: 'Delay 99 %', number: true },
    { title: 'Longest', number: true }
  ])
  #refusals = makeTable('refusals', [
    { title: 'What, and why' }, { title: 'In 10 s', number: true }, { title: 'Since the start', number: true }
  ])
  #limits = makeTable('limits', [{ title: 'Of what' }, { title: 'Now', number: true }, { title: 'At most', number: true }])
  #certificates = makeTable('certificates', [
    { title: 'Certificate' }, { title: 'For', short: true }, { title: 'Until', number: true }, { title: 'Left', number: true }
  ])
  #pool = byId('pool')
  #slowNote = byId('slow-note')
  #certificatesNote = byId('certificates-note')

  /**
   * @param {LiveState} state
   * @param {LiveState | undefined} before some seconds ago
   */
  show(state, before) {
    const seconds = before === undefined ? undefined : (state.clock - before.clock) / 1000
    this.#showDrivers(state, before, seconds)
    this.#showProcedures(state, before, seconds)
    this.#showSlow(state)
    this.#showThreads(state)
    this.#showRefusals(state, before)
    this.#showLimits(state)
    this.#showCertificates(state)
  }

  /**
   * @param {LiveState} state
   * @param {LiveState | undefined} before
   * @param {number | undefined} seconds
   */
  #showDrivers({ drivers, latencyBuckets: bounds, pool }, before, seconds) {
    this.#drivers.show(drivers.map(driver => {
      const then = before?.drivers.find(({ name }) => name === driver.name)
      const durations = since(driver.durations, then?.durations)
      const now = sum(Object.values(driver.calls)) - sum(Object.values(then?.calls ?? {}))
      const notOk = now - (driver.calls.ok - (then?.calls.ok ?? 0))
      const known = seconds !== undefined
      return [
        driver.name === 'none' ? 'nothing open' : driver.name,
        driver.up === undefined ? '' : driver.up ? { text: 'there', mark: 'quiet' } : { text: 'not there', mark: 'bad' },
        count(driver.clients),
        known ? rate(now / seconds) : '',
        count(driver.inFlight + driver.waiting),
        driver.oldestMs > 0 ? duration(1000 * driver.oldestMs) : '',
        known ? duration(quantile(durations, bounds, 0.5)) : '',
        known ? duration(quantile(durations, bounds, 0.99)) : '',
        known ? { text: rate(notOk / seconds), mark: notOk > 0 ? 'bad' : '' } : ''
      ]
    }))
    const { connections, busy, idle, clients, waiting } = pool
    const sharing = `${count(busy)} busy and ${count(idle)} idle are shared by ${count(clients)} clients, of whom ${count(waiting)} wait`
    say(this.#pool, `${count(connections)} connections to driver daemons${busy + idle > 0 ? `; ${sharing}` : ''}`)
  }

  /**
   * @param {LiveState} state
   * @param {LiveState | undefined} before
   * @param {number | undefined} seconds
   */
  #showProcedures({ procedures }, before, seconds) {
    if (seconds === undefined) return
    const known = new Map(before?.procedures.map(one => [`${one.procedure} ${one.driver}`, one]))
    const all = procedures.map(({ procedure, driver, calls, totalUs, timed }) => {
      const then = known.get(`${procedure} ${driver}`)
      const [oldCalls, oldUs, oldTimed] = [then?.calls ?? 0, then?.totalUs ?? 0, then?.timed ?? 0]
      return { procedure, driver, calls: calls - oldCalls, us: totalUs - oldUs, timed: timed - oldTimed }
    })
    const total = sum(all.map(({ us }) => us))
    const used = all.filter(({ calls }) => calls > 0).sort((one, other) => other.us - one.us || other.calls - one.calls)
    this.#procedures.show(used.slice(0, MOST_PROCEDURES).map(({ procedure, driver, calls, us, timed }) => [
      procedure, driver, rate(calls / seconds), timed === 0 ? '' : duration(us / timed), total === 0 ? '' : percent(us / total)
    ]))
  }

  /** @param {LiveState} state */
  #showSlow({ slow: { ms, calls } }) {
    this.#slow.show(calls.map(({ at, client, from, dn, sasl, driver, procedure, object, code, queuedUs, driverUs }) => [
      procedure,
      [driver, object].filter(part => part !== undefined && part !== '').join(' '),
      [client === undefined ? '' : `client ${client}`, sasl ?? dn ?? '', from ?? ''].filter(part => part !== '').join(', '),
      time(at),
      duration(queuedUs),
      duration(driverUs),
      code === 0 ? '' : { text: String(code), mark: 'bad' }
    ]))
    const none = calls.length === 0 ? `None has taken ${duration(1000 * ms)} or longer.` : ''
    say(this.#slowNote, ms === 0 ? 'None is noted: slow_call_ms is not set.' : none)
  }

  /** @param {LiveState} state */
  #showThreads({ threads }) {
    this.#threads.show(threads.map(({ number, clients, stuck, utilization, delayMs }) => [
      number === undefined ? 'supervisor' : String(number),
      number === undefined ? '' : count(clients),
      stuck ? { text: 'hangs', mark: 'bad' } : { text: percent(utilization), mark: utilization > BUSY ? 'warn' : '' },
      { text: duration(1000 * delayMs.p99), mark: delayMs.p99 > LATE_MS ? 'warn' : '' },
      { text: duration(1000 * delayMs.max), mark: delayMs.max > LATE_MS ? 'warn' : '' }
    ]))
  }

  /**
   * @param {LiveState} state
   * @param {LiveState | undefined} before
   */
  #showRefusals({ refusals }, before) {
    this.#refusals.show(Object.entries(refusals).map(([reason, total]) => {
      const now = before === undefined ? 0 : total - (before.refusals[reason] ?? 0)
      const [lately, ever] = [now > 0 ? 'bad' : 'quiet', total > 0 ? '' : 'quiet']
      return [REFUSALS[reason] ?? reason, { text: count(now), mark: lately }, { text: count(total), mark: ever }]
    }))
  }

  /** @param {LiveState} state */
  #showLimits({ limits, broker: { residentBytes } }) {
    this.#limits.show([
      ...limits.map(({ name, used, most }) => (
        [name, { text: count(used), mark: most > 0 && used >= SHORT * most ? 'bad' : '' }, most === 0 ? '' : count(most)]
      )),
      ['memory', bytes(residentBytes), '']
    ])
  }

  /** @param {LiveState} state */
  #showCertificates({ certificates, now }) {
    this.#certificates.show(certificates.map(({ role, subject, from, to }) => {
      const days = (to - now) / DAY_MS
      const mark = days < SOON_DAYS || from > now ? 'bad' : ''
      return [subject, role, date(to), { text: days < 0 ? 'expired' : from > now ? 'not yet' : duration(1000 * (to - now)), mark }]
    }))
    say(this.#certificatesNote, certificates.length === 0 ? 'TLS is not used.' : '')
  }
}
