import { authenticationFailed, driverClosed, notOpen } from '../../protocol/broker-errors.js'
import { undecodable, RemoteError } from '../../protocol/errors.js'
import type { Header } from '../../protocol/header.js'
import { decodeSetIdentity } from '../../protocol/identity.js'
import { encodeAuthList } from '../../protocol/messages/auth.js'
import { decodeFeature, decodeOpen, encodeSupported, encodeText, FEATURE } from '../../protocol/messages/connect.js'
import { REMOTE } from '../../protocol/procedures.js'
import { XdrError } from '../../protocol/xdr.js'
import type { LocalCaller } from './ports.js'

/** The handler leaves the call to the driver daemon after all. */
const PASS_ON = Symbol('pass on')

type Handler = (caller: LocalCaller, call: Header, body: Buffer) => typeof PASS_ON | void

const authList: Handler = (caller, call) => caller.client.answer(call, encodeAuthList([caller.login.authenticationType()]))

/** Refused: a method that this listener does not use, or a client that is in already. */
const authenticate: Handler = (caller, call, body) => {
  if (!caller.login.takesPart(call, body)) caller.client.refuse(call, authenticationFailed())
}

const connectOpen: Handler = (caller, call, body) => {
  const { name, flags } = decodeOpen(body)
  caller.connectOpen(call, name, flags)
}

const connectClose: Handler = (caller, call) => caller.connectClose(call)

const supportsFeature: Handler = (caller, call, body) => {
  const feature = decodeFeature(body)
  const { connection } = caller
  const answer = (supported: boolean): void => caller.client.answer(call, encodeSupported(supported))
  if (feature === FEATURE.keepalive) {
    caller.client.startPinging()
    return answer(true)
  }
  if (!connection.hasOpened) return caller.client.refuse(call, notOpen())
  switch (feature) {
    case FEATURE.eventCallbacks:
    case FEATURE.closeCallback:
      return answer(true)
    case FEATURE.fdPassing:
      return answer(connection.carriesDescriptors)
    default:
      return PASS_ON
  }
}

const getUri: Handler = (caller, call) => {
  if (!caller.connection.hasOpened) return caller.client.refuse(call, notOpen())
  caller.client.answer(call, encodeText(caller.connection.uri))
}

/**
 * Checked, and then of no effect: passed on, it would let the client choose the identity that its calls have at the
 * driver daemon.
 */
const setIdentity: Handler = (caller, call, body) => {
  if (!caller.connection.hasOpened) return caller.client.refuse(call, notOpen())
  if (caller.connection.isLost) return caller.client.refuse(call, driverClosed())
  decodeSetIdentity(body)
  caller.client.answer(call)
}

/**
 * Answers a call that was collected, or returns false if it is for the driver daemon after all. A body that does not
 * decode, or arguments that are refused, are the handler's to throw.
 */
export function answerLocally(caller: LocalCaller, call: Header, body: Buffer): boolean {
  const handler = LOCAL_CALLS.get(call.proc)
  if (handler === undefined) return false
  try {
    return handler(caller, call, body) !== PASS_ON
  } catch (error) {
    if (error instanceof XdrError) caller.client.refuse(call, undecodable())
    else if (error instanceof RemoteError) caller.client.refuse(call, error)
    else throw error
    return true
  }
}

/** The calls of the remote program that the broker answers itself. */
const LOCAL_CALLS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [REMOTE.authList, authList],
  [REMOTE.authSaslInit, authenticate],
  [REMOTE.authSaslStart, authenticate],
  [REMOTE.authSaslStep, authenticate],
  [REMOTE.authPolkit, authenticate],
  [REMOTE.connectOpen, connectOpen],
  [REMOTE.connectClose, connectClose],
  [REMOTE.connectSupportsFeature, supportsFeature],
  [REMOTE.connectGetUri, getUri],
  [REMOTE.connectSetIdentity, setIdentity]
])
