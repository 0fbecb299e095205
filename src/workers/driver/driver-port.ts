import type { RemoteError } from '../../protocol/errors.js'
import type { Disposition } from '../../protocol/frame-reader.js'
import type { RegistrationKind } from '../../protocol/messages/events.js'
import type { Closable } from '../base/clock.js'
import type { FrameSource } from '../framing/frame-writer.js'
import type { ConnectionUse } from '../thread/driver-report.js'

/** Where a session's calls, and what follows them on streams, are written. */
export interface CallWriter {
  /** Bytes of frames that `begin` has let pass, and of stream packets. False: no more for now, until `drained`. */
  relay(bytes: Buffer, from: number, to: number): boolean
  /** A whole call and the descriptors that belong to it, which are closed here. */
  relayWithDescriptors(frame: Buffer, descriptors: readonly number[]): boolean
  /** The descriptor that stream data may be spliced into; undefined while that cannot be. */
  readonly spliceTarget: number | undefined
}

/**
 * The way of one session to its driver daemon. Whether it is a connection of the session's own or a part in one that
 * several share, the session does not know.
 */
export interface DriverPort {
  readonly writer: CallWriter
  /**
   * A call is to go to the daemon: its header stands at `bytes[at]`, and may be changed there. `whole`: the rest stands
   * behind it. Says `pass`: the daemon is about to have it, and it is to be written now; `hold`: not before a call of the
   * session's is settled, or `driverJudged`; or `collect`, if not `whole`: not before all of it is there.
   */
  begin(bytes: Buffer, at: number, whole: boolean): Disposition
  /** Nothing more is read for the session, until `resume`. */
  pause(): void
  resume(): void
  /** The session needs it no more, and has nothing out there. */
  leave(): void
  /** The session gives up what it has out there. */
  close(): void
}

/**
 * Judges what a daemon sends to one session. `here`: the whole frame stands at `bytes[at]`, and may be changed there. If
 * it does not, the answer may be `collect`; then the frame is asked about again when it has come.
 */
export interface ReplyJudge {
  /** Whether the session has streams, which live at the daemon as long as the connection. */
  readonly bound: boolean
  /** Whether those of the session's calls that are not answered all change nothing. */
  readonly onlyReads: boolean
  /** A reply, with the serial that the client knows: its call is settled. Undefined: it answers none. */
  replied(bytes: Buffer, at: number, here: boolean): Disposition | undefined
  /**
   * A packet of a stream, or the REPLY with which a daemon says that it could not make a hole; such a frame is made what
   * it means. Undefined: there is no such stream.
   */
  streamPacket(bytes: Buffer, at: number): Disposition | undefined
  event(bytes: Buffer, at: number, here: boolean): Disposition
  /** How the daemon calls the registration that the session knows by that id. */
  driverId(kind: RegistrationKind, id: number): number
}

/** Where that which passes goes on to. */
export interface ReplySink {
  /** Whether descriptors can go with a reply. */
  readonly carriesDescriptors: boolean
  relay(bytes: Buffer, from: number, to: number): void
  /** A whole reply and its descriptors, which are closed here. Only if it carries descriptors. */
  relayWithDescriptors(frame: Buffer, descriptors: readonly number[]): void
  /** A whole frame of the broker's own. */
  write(frame: Buffer): void
}

/** What a session hears of a driver port once it uses it. */
export interface DriverEvents {
  /** What had come is judged: calls that wait may go. */
  driverJudged(): void
  /** All that was written is out. */
  driverDrained(): void
  /** It is gone, and closed. `reason`: one of CLOSE_REASON. `cut`: the client has part of a frame whose rest is lost. */
  driverLost(port: DriverPort, error: RemoteError, reason: number, cut: boolean): void
  /** The daemon broke the protocol: `driverLost` follows. */
  driverViolated(what: string): void
}

/** Whom a driver port serves. */
export interface DriverUser {
  /** Whom an unexpected failure costs the connection. */
  readonly session: Closable
  readonly judge: ReplyJudge
  readonly driverEvents: DriverEvents
  readonly replies: ReplySink
  /** Where the frames come from that are relayed to the daemon. */
  readonly relayed: FrameSource
  /** By whose number descriptors are counted that the daemon sends; undefined where the client cannot get any. */
  readonly sender: number | undefined
  /** What is to be told of the connection; undefined if it is not in use. */
  use(): ConnectionUse | undefined
}
