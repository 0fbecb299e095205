import type { CallKind } from '../../protocol/call-kinds.js'
import type { RemoteError } from '../../protocol/errors.js'
import type { Disposition, DISPOSITION } from '../../protocol/frame-reader.js'
import type { Header } from '../../protocol/header.js'
import type { AuthType } from '../../protocol/messages/auth.js'
import type { Closable } from '../base/clock.js'
import type { LogSource } from '../base/log.js'
import type { LogKind } from '../base/log-kinds.js'
import type { ServedRecord } from '../thread/client-record.js'
import type { LossReason } from '../transport/transport.js'
import type { CallAudit } from './call-audit.js'

/** Why the client is not read for now; any number of these at once. */
export const PAUSE = { driverFull: 1, clientFull: 2, waitingFull: 4, answersFull: 8 } as const

/** The client, as the flow of its calls sees it. */
export interface ClientPort {
  /** Some of a frame has been passed on, and the rest has not come. */
  readonly inPassedFrame: boolean
  /** A whole frame of the broker's own. */
  write(frame: Buffer): void
  /** The client is not read until the reason, one of PAUSE, is gone, and all others. */
  pause(why: number): void
  resume(why: number): void
  /** What becomes of the rest of a frame that waits or is passed on. */
  divert(to: typeof DISPOSITION.pass | typeof DISPOSITION.skip): void
}

/** Where the client's frames go that are not for the broker itself. */
export interface CallSink {
  /** The name is open at a driver daemon. */
  readonly connected: boolean
  /** How many of the client's calls are not answered. */
  readonly outstanding: number
  /** The descriptor that stream data may be spliced into; undefined while that cannot be. */
  readonly spliceTarget: number | undefined
  /** A call for the driver daemon, whose header stands at `bytes[at]`. `whole`: the rest has come as well. */
  forward(bytes: Buffer, at: number, kind: CallKind, whole: boolean): Disposition
  /** A stream packet. Undefined: it breaks the rules. */
  packet(bytes: Buffer, at: number): Disposition | undefined
  /** Bytes of frames that were said to pass or to be held. */
  relay(bytes: Buffer, from: number, to: number, disposition: Disposition): void
  /** What has come is judged: calls that wait may go. */
  release(): void
}

/** How far the client has come. Nothing here acts. */
export interface ClientStanding {
  /** It has to log in first. */
  readonly authenticating: boolean
  /** CONNECT_OPEN has succeeded, whatever has become of the driver daemon since. */
  readonly hasOpened: boolean
  /** It is not in yet, so that `arrived` wants to know of its bytes. */
  readonly isNew: boolean
  /** What any call is answered before the open, if anything. */
  readonly failure: RemoteError | undefined
}

/** What the session hears of its client. */
export interface ClientEvents {
  /** So many bytes have come from a client that is not in yet. */
  arrived(bytes: number): void
  /** A call that is for the broker, or has to be looked into, has come whole. The descriptors are the session's. */
  collected(bytes: Buffer, from: number, to: number, kind: CallKind, descriptors: readonly number[]): void
  /** Whether the client takes what its driver daemon sends has changed. */
  taking(yes: boolean): void
  /** It sends nothing more, and all that it sent has been judged. */
  inputEnded(): void
  clientLost(reason: LossReason): void
  close(why: string, kind: LogKind): void
  /** Closes it when it has been told. */
  closeInOrder(reply: Buffer): void
}

export interface FrameRefusals {
  /** Why the call whose header stands at `bytes[at]` goes no further, if so. `kind`: undefined if nobody serves its program. */
  refusal(bytes: Buffer, at: number, kind: CallKind | undefined): RemoteError | undefined
}

/** Who is told of calls that go no further. */
export interface RefusedCalls {
  /** Its header stands at `bytes[at]`. `whole`: the rest has come as well. */
  refused(bytes: Buffer, at: number, whole: boolean, error: RemoteError): void
}

/** Whom a client's connection serves. */
export interface ClientUser {
  readonly record: ServedRecord
  /** Whom an unexpected failure costs the connection. */
  readonly session: Closable
  readonly standing: ClientStanding
  readonly refusals: FrameRefusals
  readonly events: ClientEvents
  readonly calls: CallSink
  /** Undefined where there are no records of calls. */
  readonly audit: RefusedCalls | undefined
}

/** What the flow of calls asks of its session. */
export interface FlowOwner {
  readonly record: ServedRecord
  /** Undefined where there are no records of calls. */
  readonly audit: CallAudit | undefined
  /** A call waits although there is no driver daemon. */
  driverWanted(): void
  log(kind: LogKind, message: string, source: LogSource): void
}

/** What has become of CONNECT_OPEN. */
export interface OpenConnection {
  /** It has succeeded, whatever has become of the driver daemon since. */
  readonly hasOpened: boolean
  /** The driver daemon has gone. */
  readonly isLost: boolean
  /** What CONNECT_GET_URI says. */
  readonly uri: string
  /** Whether descriptors can go with calls. */
  readonly carriesDescriptors: boolean
}

/** What the calls that the broker answers itself may do. */
export interface LocalCaller {
  readonly connection: OpenConnection
  readonly client: LocalAnswers
  readonly login: LocalLogin
  /** Both are answered sooner or later. */
  connectOpen(call: Header, name: string | undefined, flags: number): void
  connectClose(call: Header): void
}

export interface LocalAnswers {
  answer(call: Header, body?: Buffer): void
  refuse(call: Header, error: RemoteError): void
  /** The client wants to be asked whether it lives. */
  startPinging(): void
}

export interface LocalLogin {
  /** What AUTH_LIST says. Asking may be enough to be let in. */
  authenticationType(): AuthType
  /** Whether the login has taken the call: it answers it, sooner or later. */
  takesPart(call: Header, body: Buffer): boolean
}
