import { driverClosed } from '../../protocol/broker-errors.js'
import { authenticationRequired, CODE, DOMAIN, RemoteError, rpcError, systemError, templated } from '../../protocol/errors.js'
import { encodeSetIdentity } from '../../protocol/identity.js'
import { AUTH, decodeAuthList } from '../../protocol/messages/auth.js'
import { decodeText, encodeOpen, OPEN_READONLY } from '../../protocol/messages/connect.js'
import { REMOTE } from '../../protocol/procedures.js'
import { XdrError } from '../../protocol/xdr.js'
import { Timer } from '../base/clock.js'
import { EAGAIN, ENOENT, ETIMEDOUT, errorText } from '../os/libc.js'
import type { DaemonStarter } from '../thread/control.js'
import { tellOpen } from '../observe/driver-channels.js'
import { CONNECT_OUTCOMES, driverOf, DRIVERS, FAMILIES, type ConnectOutcome } from '../thread/metric-families.js'
import type { ActorSettings } from '../thread/settings.js'
import { PolledTransport } from '../transport/polled.js'
import type { ThreadIo } from '../transport/thread-io.js'
import { Comebacks } from './comebacks.js'
import type { ConnectionServices } from './connection-services.js'
import { DriverConnection } from './driver-connection.js'
import { noDriver, unitsFor, type Candidate, type Way } from './driver-sockets.js'
import type { DriverOpening, Drivers, OpenedDriver, OpenOrder } from './drivers.js'
import { KnownNames } from './known-names.js'
import { connectUnix, FOREIGN, type Connected } from './unix-connect.js'

/** What is needed of the thread to open a connection. */
export interface OpenServices extends ConnectionServices {
  readonly io: ThreadIo
  readonly settings: ActorSettings
}

/** The driver daemons of this host, each session with a connection of its own. */
export class LocalDrivers implements Drivers {
  readonly comebacks = new Comebacks()
  readonly #services: OpenServices
  #names: KnownNames
  /** Sockets whose daemons have asked for authentication. */
  readonly #guarded = new Set<string>()
  readonly #starter: DaemonStarter | undefined

  /** `starter`: undefined where daemons are not ours to start. */
  constructor(services: OpenServices, starter: DaemonStarter | undefined) {
    this.#services = services
    this.#starter = starter
    this.#names = new KnownNames(services.settings)
  }

  find(name: string | undefined, readonly: boolean): Way {
    const { settings } = this.#services
    if (this.#names.settings !== settings) this.#names = new KnownNames(settings)
    return this.#names.find(name, readonly)
  }

  open(order: OpenOrder): DriverOpening {
    return new Opening(this.#services, this.#guarded, this.#starter, order)
  }
}

/** Finds the driver daemon, connects, opens the name there and tells it who the client is. */
class Opening implements DriverOpening {
  readonly opened: Promise<OpenedDriver>
  readonly #services: OpenServices
  readonly #guarded: Set<string>
  readonly #starter: DaemonStarter | undefined
  readonly #order: OpenOrder
  /** Why no daemon was started. */
  #notStarted: string | undefined
  /** Nobody listened. */
  #absent = false
  #driver: DriverConnection | undefined
  /** Nobody waits for it any more. */
  up = false

  constructor(services: OpenServices, guarded: Set<string>, starter: DaemonStarter | undefined, order: OpenOrder) {
    this.#services = services
    this.#guarded = guarded
    this.#starter = starter
    this.#order = order
    this.opened = this.#open()
  }

  abandon(): void {
    this.up = true
    this.#driver?.close()
  }

  async #open(): Promise<OpenedDriver> {
    const { clock, settings } = this.#services
    const { user, way } = this.#order
    const began = performance.now()
    let deadline: Timer | undefined
    try {
      const tried = this.#connect()
      let connected = tried instanceof Promise ? await tried : tried
      if (nobodyThere(connected, way) && (await this.#started())) connected = await this.#connect()
      const candidate = this.#connectedTo(connected)
      const fd = connected.outcome
      const driver = (this.#driver = this.#connection(fd))
      const ms = settings.driverOpenTimeoutMs
      deadline = new Timer({ session: user.session, timeUp: () => driver.end(notOpenedInTime(candidate.path, ms)) })
      clock.set(deadline, ms)
      const uri = await this.#shakeHands(driver, candidate)
      driver.opened()
      this.#count('ok', uri, candidate, began)
      return {
        port: driver,
        source: driver.source,
        uri,
        candidate,
        call: (proc, args, prog) => driver.call(proc, args, prog),
        serve: () => driver.serve()
      }
    } catch (thrown) {
      this.#driver?.close()
      const error = clientError(thrown)
      // There is none for what no driver has.
      const [candidate] = way.candidates
      this.#count(this.#outcome(error), candidate?.uri ?? candidate?.name ?? '', candidate, began, error)
      throw error
    } finally {
      if (deadline !== undefined) clock.cancel(deadline)
    }
  }

  #connection(fd: number): DriverConnection {
    const { io } = this.#services
    const { user } = this.#order
    // Descriptors are asked for only where the client can get them: it costs a little on every read.
    const options = { daemon: true, sender: user.sender }
    try {
      return new DriverConnection(this.#services, user, handler => new PolledTransport(io, fd, handler, options))
    } catch (error) {
      // No memory for one more in the kernel's tables, for instance.
      io.closer.closeSocket(fd)
      throw error
    }
  }

  #count(outcome: ConnectOutcome, uri: string, candidate: Candidate | undefined, began: number, error?: Error): void {
    const { counters } = this.#services
    const driver = driverOf(uri)
    const ms = performance.now() - began
    if (outcome === 'ok') counters.observe(FAMILIES.driverConnectTime, Math.round(1000 * ms), driver)
    counters.add(FAMILIES.driverConnects, 1, driver, CONNECT_OUTCOMES.indexOf(outcome))
    const { way, readonly } = this.#order
    tellOpen(() => ({
      connection: this.#driver?.number, socket: candidate?.path ?? way.sought, name: candidate?.name, driver: DRIVERS[driver]!, readonly,
      outcome, error, seconds: ms / 1000
    }))
  }

  #outcome(error: RemoteError): ConnectOutcome {
    if (this.up) return 'given_up'
    if (this.#absent) return 'absent'
    return error.int1 === ETIMEDOUT ? 'late' : 'failed'
  }

  #connect(): Connected | Promise<Connected> {
    const { io, settings } = this.#services
    return connectUnix(this.#order.way.candidates, io.ledger, io.owner, settings.driverConnectTimeoutMs, this)
  }

  /** Whether a daemon was started in which the name can be opened. */
  async #started(): Promise<boolean> {
    const { starts } = this.#order.way
    if (this.#starter === undefined || starts.length === 0) return false
    try {
      await this.#starter.start(starts, this.#services.settings.driverConnectTimeoutMs)
      return true
    } catch (error) {
      this.#notStarted = (error as Error).message
      return false
    }
  }

  /** The first candidate on whose socket somebody listens. Throws RemoteError if there is none, or nobody waits for it. */
  #connectedTo(connected: Connected): Candidate {
    const { outcome, at, passedOver } = connected
    const { io, settings } = this.#services
    const { way, log } = this.#order
    const { candidates, sought } = way
    const { driverConnectTimeoutMs: patience } = settings
    const candidate = candidates[at]!
    if (outcome === FOREIGN) log.log('driver-foreign', `socket ${candidate.path} is neither root's nor our own user's`)
    if (outcome === -EAGAIN) {
      throw timedOut(`Failed to connect socket to '${candidate.path}'`, patience, 'driver_connect_timeout')
    }
    if (outcome < 0 && !nobodyThere(connected, way)) throw connectFailure(-outcome, candidate.path)
    if (outcome < 0) {
      this.#absent = true
      const tried = candidates.map(({ path, named }, index) => ({ path, named, errno: passedOver[index]! }))
      // A session's daemons have no units.
      const toDo = settings.place === 'system' ? startUnits : () => this.#notStarted
      const error = nobodyListens(tried, sought, toDo)
      log.logTrouble('no-driver', `no driver daemon: ${error.message}`)
      throw sought === undefined && this.#notStarted === undefined ? noDriver() : error
    }
    if (!this.up) return candidate
    io.closer.closeSocket(outcome)
    throw driverClosed()
  }

  /** The identity goes before the client's answer, always. Returns the URI that the client is told. */
  async #shakeHands(driver: DriverConnection, candidate: Candidate): Promise<string> {
    const { identity, readonly } = this.#order
    const open = encodeOpen({ name: candidate.name, flags: readonly ? OPEN_READONLY : 0 })
    if (this.#guarded.has(candidate.path)) await authenticate(driver)
    try {
      await driver.call(REMOTE.connectOpen, open)
    } catch (refusal) {
      // Most daemons let us in without more ado. Of one that does not we learn it here, and remember it.
      if (!isAuthenticationRequired(refusal)) throw refusal
      await authenticate(driver)
      this.#guarded.add(candidate.path)
      await driver.call(REMOTE.connectOpen, open)
    }
    const identified = driver.call(REMOTE.connectSetIdentity, encodeSetIdentity(identity))
    if (candidate.uri !== undefined) {
      await identified
      return candidate.uri
    }
    const [uri] = await Promise.all([driver.call(REMOTE.connectGetUri), identified])
    return decodeText(uri)
  }
}

/** As root, asking for the list is all that a daemon with polkit wants; for SASL we have no credentials. */
async function authenticate(driver: DriverConnection): Promise<void> {
  const [method] = decodeAuthList(await driver.call(REMOTE.authList))
  if (method === AUTH.polkit) await driver.call(REMOTE.authPolkit)
  else if (method !== AUTH.none) {
    throw templated(
      CODE.authFailed,
      DOMAIN.rpc,
      'authentication failed: %1$s',
      `unsupported authentication type ${method}`
    )
  }
}

function isAuthenticationRequired(error: unknown): boolean {
  return error instanceof RemoteError && error.message === authenticationRequired().message
}

/** What a client gets whose daemon has taken the connection, and then more than so many milliseconds to open it. */
export const notOpenedInTime = (path: string, ms: number): RemoteError =>
  timedOut(`The driver daemon at '${path}' did not open the connection`, ms, 'driver_open_timeout')

function timedOut(what: string, ms: number, key: string): RemoteError {
  return systemError(ETIMEDOUT, `${what} within ${ms / 1000} s (${key}): ${errorText(ETIMEDOUT)}`)
}

interface Tried {
  path: string
  named: boolean
  errno: number
}

const nobodyThere = ({ outcome, passedOver }: Connected, { candidates }: Way): boolean =>
  outcome < 0 && passedOver.length === candidates.length

/** Names all that was tried, what the configuration names first, and what can be done. */
function nobodyListens(
  tried: readonly Tried[],
  sought: string | undefined,
  toDo: (paths: readonly string[]) => string | undefined
): RemoteError {
  // A daemon of its own that no driver has is not tried, but it is what the client asked for.
  const missing = sought === undefined || tried.some(({ path }) => path === sought) ? [] : [sought]
  const all = [...missing.map(path => ({ path, named: false, errno: ENOENT })), ...tried]
  const inOrder = [...all.filter(({ named }) => named), ...all.filter(({ named }) => !named)]
  const failures = inOrder.map(({ path, errno }) => `'${path}': ${errorText(errno)}`)
  const hint = toDo(inOrder.map(({ path }) => path))
  const text = `Failed to connect socket to ${failures.join('; ')}${hint === undefined ? '' : ` (${hint})`}`
  return systemError(inOrder[0]?.errno ?? ENOENT, text)
}

function startUnits(paths: readonly string[]): string | undefined {
  const units = unitsFor(paths)
  return units.length === 0 ? undefined : `is ${units.join(' or ')} started?`
}

function connectFailure(errno: number, path: string): RemoteError {
  return systemError(errno, `Failed to connect socket to '${path}': ${errorText(errno)}`)
}

function clientError(error: unknown): RemoteError {
  if (error instanceof RemoteError) return error
  if (error instanceof XdrError) return rpcError('driver daemon sent a reply that cannot be decoded')
  throw error
}
