import {
  errorReply,
  internalError,
  RemoteError,
  templated,
  CODE,
  undecodable,
  unexpectedStatus,
  unknownProcedure,
  unknownProgram
} from '../../protocol/errors.js'
import { DISPOSITION, type Disposition } from '../../protocol/frame-reader.js'
import {
  encodeFrame,
  frameProcedure,
  frameProgram,
  frameType,
  HEADER_BYTES,
  MESSAGE,
  PROGRAM,
  PROGRAM_VERSION,
  readHeader,
  STATUS,
  writeHeader,
  type Header
} from '../../protocol/header.js'
import { proceduresOf, type Procedure } from '../../protocol/procedures.js'
import { publicDomain, readOnlyPrevents } from '../../protocol/public-errors.js'
import { publicName } from '../../protocol/public-name.js'
import { XdrError, XdrReader, XdrWriter } from '../../protocol/xdr.js'
import type { ForeignCloser } from '../os/foreign-close.js'
import { DescriptorPassing } from '../../protocol/descriptor-passing.js'
import type { Call, Handler, HandlerTable } from './dispatch.js'
import type { Listener } from './event-hub.js'
import type { Hypervisor } from './hypervisor.js'
import { Keepalive } from './keepalive.js'
import type { Link, LinkOwner } from './link.js'
import { HoleRefused, Streams } from './streams.js'

/** A call that works before CONNECT_OPEN. One that takes its time returns a promise, and is answered when that is kept. */
export type DoorHandler = (session: Session, args: XdrReader, reply: XdrWriter) => void | Promise<void>

/** What the sessions of one driver share. */
export interface Shared {
  readonly door: Readonly<Record<number, DoorHandler>>
  /** By program. */
  readonly handlers: ReadonlyMap<number, HandlerTable>
  readonly closer: ForeignCloser
  /** The hypervisor of a URI. Fails with RemoteError, and of no use to anybody once `leaving` is aborted. */
  attach(uri: string | undefined, leaving: AbortSignal): Promise<Hypervisor>
  /** The client that `attach`ed lets go of it. */
  release(hypervisor: Hypervisor): void
  readonly now: () => number
  /** Something that should not be possible happened while a client was served. */
  failed(error: unknown): void
}

/** The names and rights of procedures by number, and what serves them: dense, as it is looked up for every call. */
interface Slot {
  readonly procedure: Procedure
  readonly door: DoorHandler | undefined
  readonly handler: Handler | undefined
}

export function slotsOf(program: number, shared: Pick<Shared, 'door' | 'handlers'>): (Slot | undefined)[] {
  const slots: (Slot | undefined)[] = [undefined]
  const handlers = shared.handlers.get(program)
  for (const procedure of proceduresOf(program)) {
    const remote = program === PROGRAM.remote
    slots[procedure.number] =
      procedure.kind === 'event'
        ? undefined
        : {
            procedure,
            door: remote ? shared.door[procedure.number] : undefined,
            handler: handlers?.[procedure.number]
          }
  }
  return slots
}

/** One client: reads its frames, answers its calls, and holds what it has opened. */
export class Session implements LinkOwner, Listener {
  readonly #link: Link
  readonly #shared: Shared
  readonly #slots: ReadonlyMap<number, (Slot | undefined)[]>
  readonly #streams: Streams
  /** Made when the first descriptor, or call that announces some, comes. */
  #arriving: DescriptorPassing | undefined
  readonly keepalive: Keepalive
  readonly session = this
  /** The socket is a read-only one. */
  readonly #forcedReadOnly: boolean
  /** Set by CONNECT_OPEN. */
  hypervisor: Hypervisor | undefined
  readOnly = false
  #closeCallback = false
  /** While CONNECT_OPEN is at work. */
  #opening: AbortController | undefined
  #ended = false

  /** `onLost`: called once, when the connection is gone. */
  constructor(
    link: Link,
    shared: Shared,
    slots: ReadonlyMap<number, (Slot | undefined)[]>,
    readOnly: boolean,
    readonly onLost: () => void
  ) {
    this.#link = link
    this.#shared = shared
    this.#slots = slots
    this.#forcedReadOnly = readOnly
    this.#streams = new Streams(link)
    this.keepalive = new Keepalive(link, shared.now)
  }

  // The link's side.

  heard(): void {
    this.keepalive.heard()
  }

  judged(all: boolean): void {
    if (all && this.#arriving?.offence() !== undefined) this.close()
  }

  receivedDescriptors(descriptors: readonly number[]): void {
    this.#passing().arrived(descriptors)
  }

  inputEnded(): void {
    this.close()
  }

  drained(): void {
    this.#streams.pumpAll()
  }

  lost(): void {
    if (this.#ended) return
    this.#ended = true
    this.#opening?.abort()
    this.#streams.closeAll()
    this.#arriving?.discard()
    this.keepalive.stop()
    this.release()
    this.onLost()
  }

  /** Lets go of the hypervisor and of all that was registered with it. */
  release(): void {
    const hypervisor = this.hypervisor
    this.hypervisor = undefined
    if (!hypervisor) return
    hypervisor.events.forget(this)
    this.#shared.release(hypervisor)
  }

  // The frame reader's side.

  head(): Disposition {
    return DISPOSITION.collect
  }

  run(): void {
    // Nothing is ever passed on: every frame is collected.
  }

  tail(count: number): void {
    this.#passing().tail(count)
  }

  illegal(): void {
    this.close()
  }

  frame(bytes: Buffer, from: number, to: number): void {
    this.#link.spend(to - from)
    try {
      this.#frame(bytes, from, to)
    } catch (error) {
      if (!(error instanceof HoleRefused)) this.#shared.failed(error)
      this.close()
    }
  }

  #frame(bytes: Buffer, from: number, to: number): void {
    const type = frameType(bytes, from)
    if (type === MESSAGE.call) return this.#call(bytes, from, to, HEADER_BYTES)
    if (type === MESSAGE.stream || type === MESSAGE.streamHole)
      return this.#streams.received(readHeader(bytes, from), bytes.subarray(from + HEADER_BYTES, to))
    if (frameProgram(bytes, from) === PROGRAM.keepalive) return this.keepalive.received(frameProcedure(bytes, from))
    if (type === MESSAGE.callWithFds) {
      const announced = DescriptorPassing.announced(bytes, from, to)
      if (announced === undefined) return this.close()
      if (announced > 0) return this.#passing().expect(bytes, from, to, announced)
      this.#call(bytes, from, to, HEADER_BYTES + 4)
    }
    // Replies and events make no sense from a client; libvirt drops them.
  }

  /** Ends the connection when what has been queued is out. */
  close(): void {
    this.#link.close()
    this.lost()
  }

  send(frame: Buffer): void {
    this.#link.send(frame)
  }

  // Calls.

  #passing(): DescriptorPassing {
    return (this.#arriving ??= new DescriptorPassing(this.#link.reader, this.#shared.closer, (frame, descriptors) =>
      this.#call(frame, 0, frame.length, HEADER_BYTES + 4, descriptors)
    ))
  }

  #call(bytes: Buffer, from: number, to: number, skip: number, descriptors: number[] = []): void {
    try {
      this.#dispatch(bytes, from, to, skip, descriptors)
    } finally {
      // What no handler has passed on is of no use to anybody.
      for (const descriptor of descriptors) this.#shared.closer.close(descriptor)
    }
  }

  #dispatch(bytes: Buffer, from: number, to: number, skip: number, descriptors: number[]): void {
    const slots = this.#slots.get(frameProgram(bytes, from))
    const header = readHeader(bytes, from)
    if (!slots || header.vers !== PROGRAM_VERSION) return this.#refuse(header, unknownProgram(header.prog, header.vers))
    if (header.status !== STATUS.ok) return this.#refuse(header, unexpectedStatus(header.status))
    const slot = slots[header.proc]
    if (!slot) return this.#refuse(header, unknownProcedure(header.proc))
    try {
      this.#serve(slot, header, new XdrReader(bytes, from + skip, to), descriptors)
    } catch (error) {
      this.#refuse(header, asRemote(error, this.#shared))
    }
    this.hypervisor?.events.flush()
  }

  #serve(slot: Slot, header: Header, args: XdrReader, descriptors: number[]): void {
    const reply = new XdrWriter(128)
    if (slot.door) {
      const pending = slot.door(this, args, reply)
      return pending ? void this.#answerLater(pending, header, reply) : this.#answer(header, reply)
    }
    const hypervisor = this.hypervisor
    if (!hypervisor) throw internalError('hypervisor connection not open')
    const { number, readonly } = slot.procedure
    if (this.readOnly && readonly === 'deny') throw readOnlyPrevents(slot.procedure)
    if (!slot.handler) throw unserved(slot.procedure)
    const call: Call = { session: this, hypervisor, args, reply, descriptors, replyDescriptors: [] }
    const stream = slot.handler(call)
    if (call.replyDescriptors.length > 0) this.#answerWithDescriptors(header, reply, call.replyDescriptors)
    else this.#answer(header, reply)
    if (stream) {
      this.#streams.add(header.serial, number, stream)
      this.#streams.pumpAll()
    }
  }

  /** The client's further calls wait, as its calls are done in their order. */
  async #answerLater(pending: Promise<void>, header: Header, reply: XdrWriter): Promise<void> {
    this.#link.hold('busy')
    try {
      await pending
      this.#answer(header, reply)
    } catch (error) {
      // It may have been given up because the client is gone.
      if (this.#ended) return
      this.#refuse(header, asRemote(error, this.#shared))
    }
    this.#link.release('busy')
  }

  #answer(header: Header, reply: XdrWriter): void {
    header.type = MESSAGE.reply
    header.status = STATUS.ok
    const body = reply.finish()
    const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length)
    writeHeader(frame, 0, frame.length, header)
    frame.set(body, HEADER_BYTES)
    this.#link.send(frame)
  }

  #answerWithDescriptors(header: Header, reply: XdrWriter, descriptors: readonly number[]): void {
    const body = new XdrWriter().u32(descriptors.length).finish()
    const payload = Buffer.concat([body, reply.finish()])
    const frame = encodeFrame({ ...header, type: MESSAGE.replyWithFds, status: STATUS.ok }, payload)
    this.#link.sendWithDescriptors(frame, descriptors)
  }

  #refuse(header: Header, error: RemoteError): void {
    this.#link.send(errorReply(header, error))
  }

  requireOpen(): void {
    if (!this.hypervisor) throw internalError('hypervisor connection not open')
  }

  /** A driver that never loses its own connection has nothing to say to a close callback; the rules are kept. */
  setCloseCallback(wanted: boolean): void {
    if (wanted && this.#closeCallback) throw internalError('A close callback is already registered')
    this.#closeCallback = wanted
  }

  /** CONNECT_OPEN. */
  async open(uri: string | undefined, flags: number): Promise<void> {
    if (this.hypervisor) throw internalError('connection already open')
    this.#opening = new AbortController()
    const hypervisor = await this.#shared.attach(uri, this.#opening.signal)
    this.#opening = undefined
    if (this.#ended) return this.#shared.release(hypervisor)
    this.hypervisor = hypervisor
    this.readOnly = this.#forcedReadOnly || (flags & 1) !== 0
  }
}

function unserved(procedure: Procedure): RemoteError {
  const template = 'this function is not supported by the connection driver: %1$s'
  return templated(CODE.noSupport, publicDomain(procedure), template, publicName(procedure.name, procedure.program))
}

function asRemote(error: unknown, shared: Shared): RemoteError {
  if (error instanceof RemoteError) return error
  if (error instanceof XdrError) return undecodable()
  shared.failed(error)
  return internalError(error instanceof Error ? error.message : String(error))
}
