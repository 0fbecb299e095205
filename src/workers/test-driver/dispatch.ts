import type { XdrReader, XdrWriter } from '../../protocol/xdr.js'
import type { Hypervisor } from './hypervisor.js'
import type { Session } from './session.js'
import type { StreamEnd } from './streams.js'

/** One call of a client that has opened a connection. */
export interface Call {
  readonly session: Session
  readonly hypervisor: Hypervisor
  readonly args: XdrReader
  readonly reply: XdrWriter
  /** Those that came with the call. What a handler leaves here is closed. */
  readonly descriptors: number[]
  /** Those that go with the reply. */
  readonly replyDescriptors: number[]
}

/**
 * Decodes the arguments, does the work and encodes the reply, all at once. Throws RemoteError for the client,
 * XdrError for arguments that do not decode. What it returns is the driver's end of the stream that the call opens.
 */
export type Handler = (call: Call) => StreamEnd | void

/** By procedure number. Each kind of object brings its own table. */
export type HandlerTable = Readonly<Record<number, Handler>>
