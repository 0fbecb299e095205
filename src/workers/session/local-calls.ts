import { internalError, undecodable, RemoteError } from '../../protocol/errors.js'
import type { Header } from '../../protocol/header.js'
import { decodeSetIdentity } from '../../protocol/identity.js'
import { encodeAuthList } from '../../protocol/messages/auth.js'
import { decodeFeature, decodeOpen, encodeSupported, encodeText, FEATURE } from '../../protocol/messages/connect.js'
import { replyFrame } from '../../protocol/messages/frames.js'
import { REMOTE } from '../../protocol/procedures.js'
import { XdrError } from '../../protocol/xdr.js'
import type { ClientSession } from './client-session.js'
import { openConnection } from './open-connection.js'
import { authenticationFailed, driverClosed, notOpen } from '../../protocol/broker-errors.js'

/** The handler leaves the call to the driver daemon after all. */
const PASS_ON = Symbol('pass on')

type Handler = (session: ClientSession, call: Header, body: Buffer) => typeof PASS_ON | void

const refuse = (session: ClientSession, call: Header, error: RemoteError): void => session.client.refuse(call, error)

const authList: Handler = (session, call) => {
  session.client.write(replyFrame(call, encodeAuthList([session.authenticationType()])))
}

/** Refused: a method that this listener does not use, or a client that is in already. */
const authenticate: Handler = (session, call, body) => {
  if (!session.takesPart(call, body)) refuse(session, call, authenticationFailed())
}

const connectOpen: Handler = (session, call, body) => {
  const { name, flags } = decodeOpen(body)
  if (!session.become('opening')) return refuse(session, call, internalError('connection already open'))
  openConnection(session, name, flags).then(
    () => {
      session.client.write(replyFrame(call))
      session.finishIfIdle()
    },
    (error: unknown) => {
      if (!(error instanceof RemoteError)) return session.actor.failed(session, error)
      session.become('authenticated')
      refuse(session, call, error)
      session.finishIfIdle()
    }
  )
}

const connectClose: Handler = (session, call) => session.finish(replyFrame(call))

const supportsFeature: Handler = (session, call, body) => {
  const feature = decodeFeature(body)
  const answer = (supported: boolean): void => session.client.write(replyFrame(call, encodeSupported(supported)))
  if (feature === FEATURE.keepalive) {
    session.client.keepalive.startPinging()
    return answer(true)
  }
  if (!session.hasOpened) return refuse(session, call, notOpen())
  switch (feature) {
    case FEATURE.eventCallbacks:
    case FEATURE.closeCallback:
      return answer(true)
    case FEATURE.fdPassing:
      return answer(session.client.transport.sender !== undefined)
    default:
      return PASS_ON
  }
}

const getUri: Handler = (session, call) => {
  if (!session.hasOpened) return refuse(session, call, notOpen())
  session.client.write(replyFrame(call, encodeText(session.uri)))
}

/**
 * Checked, and then of no effect: passed on, it would let the client choose the identity that its calls have at the
 * driver daemon.
 */
const setIdentity: Handler = (session, call, body) => {
  if (!session.hasOpened) return refuse(session, call, notOpen())
  if (session.state === 'lost') return refuse(session, call, driverClosed())
  decodeSetIdentity(body)
  session.client.write(replyFrame(call))
}

/**
 * Answers a call that was collected, or returns false if it is for the driver daemon after all. A body that does not
 * decode, or arguments that are refused, are the handler's to throw.
 */
export function answerLocally(session: ClientSession, call: Header, body: Buffer): boolean {
  const handler = LOCAL_CALLS.get(call.proc)
  if (handler === undefined) return false
  try {
    return handler(session, call, body) !== PASS_ON
  } catch (error) {
    if (error instanceof XdrError) refuse(session, call, undecodable())
    else if (error instanceof RemoteError) refuse(session, call, error)
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
