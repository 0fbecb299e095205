import { authenticationRequired, CODE, DOMAIN, RemoteError, rpcError, systemError, templated } from '../../protocol/errors.js'
import { encodeSetIdentity } from '../../protocol/identity.js'
import { AUTH, decodeAuthList } from '../../protocol/messages/auth.js'
import { decodeText, encodeOpen, OPEN_READONLY } from '../../protocol/messages/connect.js'
import { REMOTE } from '../../protocol/procedures.js'
import { XdrError } from '../../protocol/xdr.js'
import { Timer } from '../base/clock.js'
import { noDriver, unitsFor, type Candidate, type Way } from '../driver/driver-sockets.js'
import { connectUnix, FOREIGN } from '../driver/unix-connect.js'
import { EAGAIN, ENOENT, ETIMEDOUT, errorText } from '../os/libc.js'
import type { ClientSession } from './client-session.js'
import { DriverSide } from './driver-side.js'
import { driverClosed } from '../../protocol/broker-errors.js'

/**
 * CONNECT_OPEN: finds the driver daemon, connects, opens the name there and tells it who the client is. The identity
 * goes before the client's answer, always. Rejects with the RemoteError that the client gets; the session can then
 * try again.
 */
export async function openConnection(session: ClientSession, name: string | undefined, flags: number): Promise<void> {
  const readonly = session.record.listener.readonly || (flags & OPEN_READONLY) !== 0
  const way = session.actor.names.find(name, readonly)
  const { driver, uri, candidate } = await openDriver(session, way, readonly)
  session.reconnection.opened(candidate, readonly)
  session.opened(driver, uri, readonly)
}

/**
 * Connects to the first of the sockets that is there, and opens the name. The session is to see whether it still wants
 * the driver when it has it. Rejects with RemoteError.
 */
export async function openDriver(
  session: ClientSession,
  way: Way,
  readonly: boolean
): Promise<{ driver: DriverSide; uri: string; candidate: Candidate }> {
  const { settings } = session.actor
  const [fd, candidate] = await connectFirst(session, way)
  const driver = new DriverSide(session, fd)
  session.driver = driver
  const deadline = new Timer({
    session,
    timeUp: () => session.driverLost(driver, notOpenedInTime(candidate.path, settings.driverOpenTimeoutMs))
  })
  session.actor.clock.set(deadline, settings.driverOpenTimeoutMs)
  try {
    const uri = await shakeHands(driver, candidate, readonly, session)
    // It can be lost between its last reply and here: with what came in the same read.
    if (session.driver !== driver) throw driverClosed()
    driver.keepalive.startPinging()
    return { driver, uri, candidate }
  } catch (error) {
    driver.close()
    if (session.driver === driver) session.driver = undefined
    throw clientError(error)
  } finally {
    session.actor.clock.cancel(deadline)
  }
}

/** Connects to the first candidate on whose socket somebody listens. Rejects with RemoteError. */
async function connectFirst(
  session: ClientSession,
  { candidates, sought }: Way
): Promise<[fd: number, candidate: Candidate]> {
  const { io, settings } = session.actor
  const given = {
    get up(): boolean {
      return session.state !== 'opening' && session.state !== 'reopening'
    }
  }
  const { driverConnectTimeoutMs } = settings
  const { outcome, at, passedOver } = await connectUnix(candidates, io.ledger, io.owner, driverConnectTimeoutMs, given)
  if (outcome === FOREIGN) session.log('warning', `socket ${candidates[at]!.path} is neither root's nor our own user's`)
  if (outcome === -EAGAIN) throw timedOut(`Failed to connect socket to '${candidates[at]!.path}'`, driverConnectTimeoutMs, 'driver_connect_timeout')
  if (outcome < 0 && passedOver.length < candidates.length) throw connectFailure(-outcome, candidates[at]!.path)
  if (outcome < 0) {
    const tried = candidates.map(({ path, named }, index) => ({ path, named, errno: passedOver[index]! }))
    const error = nobodyListens(tried, sought)
    session.logTrouble('warning', `no driver daemon: ${error.message}`)
    throw sought === undefined ? noDriver() : error
  }
  if (!given.up) return [outcome, candidates[at]!]
  io.closer.closeSocket(outcome)
  throw driverClosed()
}

/** Returns the URI that the client is told. */
async function shakeHands(
  driver: DriverSide,
  candidate: Candidate,
  readonly: boolean,
  session: ClientSession
): Promise<string> {
  const open = encodeOpen({ name: candidate.name, flags: readonly ? OPEN_READONLY : 0 })
  const { guarded } = session.actor
  if (guarded.has(candidate.path)) await authenticate(driver)
  try {
    await driver.call(REMOTE.connectOpen, open)
  } catch (refusal) {
    // Most daemons let us in without more ado. Of one that does not we learn it here, and remember it.
    if (!isAuthenticationRequired(refusal)) throw refusal
    await authenticate(driver)
    guarded.add(candidate.path)
    await driver.call(REMOTE.connectOpen, open)
  }
  const identified = driver.call(REMOTE.connectSetIdentity, encodeSetIdentity(session.record.identity))
  if (candidate.uri !== undefined) {
    await identified
    return candidate.uri
  }
  const [uri] = await Promise.all([driver.call(REMOTE.connectGetUri), identified])
  return decodeText(uri)
}

/** As root, asking for the list is all that a daemon with polkit wants; for SASL we have no credentials. */
async function authenticate(driver: DriverSide): Promise<void> {
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

const notOpenedInTime = (path: string, ms: number): RemoteError =>
  timedOut(`The driver daemon at '${path}' did not open the connection`, ms, 'driver_open_timeout')

function timedOut(what: string, ms: number, key: string): RemoteError {
  return systemError(ETIMEDOUT, `${what} within ${ms / 1000} s (${key}): ${errorText(ETIMEDOUT)}`)
}

interface Tried {
  path: string
  named: boolean
  errno: number
}

/** Names all that was tried, what the configuration names first, and what is to be started. */
function nobodyListens(tried: readonly Tried[], sought: string | undefined): RemoteError {
  // A daemon of its own that no driver has is not tried, but it is what the client asked for.
  const missing = sought === undefined || tried.some(({ path }) => path === sought) ? [] : [sought]
  const all = [...missing.map(path => ({ path, named: false, errno: ENOENT })), ...tried]
  const inOrder = [...all.filter(({ named }) => named), ...all.filter(({ named }) => !named)]
  const failures = inOrder.map(({ path, errno }) => `'${path}': ${errorText(errno)}`)
  const units = unitsFor(inOrder.map(({ path }) => path))
  const hint = units.length === 0 ? '' : ` (is ${units.join(' or ')} started?)`
  return systemError(inOrder[0]?.errno ?? ENOENT, `Failed to connect socket to ${failures.join('; ')}${hint}`)
}

function connectFailure(errno: number, path: string): RemoteError {
  return systemError(errno, `Failed to connect socket to '${path}': ${errorText(errno)}`)
}

function clientError(error: unknown): RemoteError {
  if (error instanceof RemoteError) return error
  if (error instanceof XdrError) return rpcError('driver daemon sent a reply that cannot be decoded')
  throw error
}
