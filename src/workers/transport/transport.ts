import type { Closable } from '../base/clock.js'

/**
 * The path of long frames from one socket to another, of which nobody needs to see more than the header. A transport
 * that can do so lets the kernel move the rest; others need not ask.
 */
export interface SplicePath {
  /** Bytes of the frame in progress that are still to come; 0 between frames, and where they must be read. */
  readonly left: number
  /** The socket that they go to, a transport's `spliceTarget`; undefined if it takes nothing for now. */
  readonly to: number | undefined
  /** `count` of them have come. All have gone on but those at `from`…`to`, which are valid during the call only. */
  moved(count: number, bytes: Buffer, from: number, to: number): void
  /** The next frame is not long, or something is the matter: all is read again from now on. */
  over(): void
}

/** What a transport tells its owner. None of these is called from inside `send`; `end` may call `lost`. */
export interface TransportHandler {
  /** Whom an unexpected failure while this connection is served costs the connection. */
  readonly session: Closable
  /** Set while long frames are expected. */
  readonly splicePath?: SplicePath | undefined
  /**
   * Bytes came in. They are valid during the call only: the buffer is the whole thread's. They may be changed in place,
   * and so may, on a plain socket, the `HEADER_BYTES` before them.
   */
  received(bytes: Buffer, from: number, to: number): void
  /** Descriptors came with the bytes that follow, or are the last of them. They are the handler's to close. */
  receivedDescriptors(descriptors: number[]): void
  /** Everything queued has been written: `pending` is 0 again. */
  drained(): void
  /**
   * The peer sends nothing more, but may still read: reading is over, and the transport is to be closed sooner or later.
   * (On TCP one that is gone looks the same, until something is sent to it.)
   */
  ended(): void
  /** The peer is gone, or the connection failed; the transport is closed. */
  lost(reason: LossReason): void
}

/** `errno` 0: the peer hung up, or all was written after `end`. */
export interface LossReason {
  errno: number
  /** What the peer did against the rules of TLS, if it was that. */
  fault?: string
}

/** What comes from one peer, as those see it who take it. */
export interface ByteSource {
  readonly closed: boolean
  /** Whether something has come that has not been read. Asks the kernel. */
  readonly hasUnread: boolean
  /** How many bytes, about, are read in one turn from now on. */
  readAtMost(bytes: number): void
  /** Stops and goes on with reading. */
  pause(): void
  resume(): void
}

/** What goes to one peer. */
export interface ByteSink {
  /** By whose number descriptors are counted that come beside the bytes; undefined where none can travel. */
  readonly sender: number | undefined
  /** Bytes accepted by `send` that the kernel has not taken yet. */
  readonly pending: number
  /** The descriptor that bytes may be spliced into; undefined while others go first, or where that cannot be. */
  readonly spliceTarget?: number | undefined
  /**
   * Writes at once what the kernel takes, and queues a copy of the rest. Returns false if something is queued: then
   * the source of these bytes is to pause until `drained`.
   */
  send(bytes: Buffer, from: number, to: number): boolean
  /**
   * Sends descriptors behind what was sent before, each with a byte of its own, and closes them here. Only where there
   * is a `sender`.
   */
  sendDescriptors(descriptors: readonly number[]): boolean
  /** Closes when all that is queued has been written. Nothing is read any more. */
  end(): void
}

/** One end of a connection that carries bytes, whatever stands under it: a plain socket, TLS, a SASL layer. */
export interface Transport extends ByteSource, ByteSink {
  handler: TransportHandler
  /** Bytes that have come, and that were accepted by `send`. TLS's own are not counted. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** Closes now; what is queued is lost. The handler hears nothing more. */
  destroy(): void
}
