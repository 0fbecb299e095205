import { KIND, kindWithArguments, type CallKind } from '../../protocol/call-kinds.js'
import { errorReply, RemoteError } from '../../protocol/errors.js'
import { DISPOSITION, type Disposition } from '../../protocol/frame-reader.js'
import { frameLength, HEADER_BYTES, MESSAGE, readHeader, type Header } from '../../protocol/header.js'
import { lookup } from '../../protocol/procedures.js'
import { replyFrame } from '../../protocol/messages/frames.js'
import { CallTable } from './call-table.js'
import { PAUSE } from './client-side.js'
import type { ClientSession } from './client-session.js'
import { answerLocally } from './local-calls.js'
import { driverClosed } from '../../protocol/broker-errors.js'
import { WaitingCalls } from './waiting-calls.js'

const EMPTY = Buffer.alloc(0)

/** The way of one client's calls to its driver daemon: at once, after others, or not at all. */
export class CallFlow {
  /** With the daemon, and not answered. */
  readonly calls = new CallTable()
  /** Not given to the daemon yet; undefined while there are none, which is nearly always. */
  #waiting: WaitingCalls | undefined

  constructor(readonly session: ClientSession) {}

  /** Asked for every call: a method, because a private getter is a call into the runtime of V8 each time. */
  #waits(prog: number, proc: number): boolean {
    const { state, actor } = this.session
    const mustWait = this.#waiting !== undefined || state !== 'open' || this.calls.size >= actor.settings.callsInFlight
    return mustWait && !this.#mayPass(prog, proc)
  }

  /** The daemon has more calls than it takes without stopping to read. */
  get beyondWindow(): boolean {
    return this.calls.size > this.session.actor.settings.callsInFlight
  }

  /**
   * A call that waits for no hypervisor, and comes back at once, may go beyond the window, and past those that wait: the
   * daemon has other workers for it.
   */
  #mayPass(prog: number, proc: number): boolean {
    const { state, actor } = this.session
    return state === 'open' && this.calls.size <= actor.settings.callsInFlight && lookup(prog, proc)?.priority === 'high'
  }

  /** How many calls are not given to the daemon yet. */
  get waiting(): number {
    return this.#waiting?.size ?? 0
  }

  /** Decides whether a call for the driver daemon goes now or waits its turn. */
  forward(prog: number, proc: number, serial: number, kind: CallKind, length: number): Disposition {
    if (this.#waits(prog, proc)) {
      this.#wait(prog, proc, serial, kind, length)
      return DISPOSITION.hold
    }
    this.#handedOver(prog, proc, serial, kind)
    return DISPOSITION.pass
  }

  relay(bytes: Buffer, from: number, to: number, disposition: Disposition): void {
    const { client, driver } = this.session
    if (disposition === DISPOSITION.hold) {
      this.#waiting!.append(bytes, from, to)
      if (this.#waiting!.full) client.pause(PAUSE.waitingFull)
    } else if (driver !== undefined && !driver.writer.relay(bytes, from, to)) client.pause(PAUSE.driverFull)
  }

  /** A call that was collected: answered here, or looked into before it goes on. */
  collected(bytes: Buffer, from: number, to: number, noted: CallKind, descriptors: readonly number[] = []): void {
    const { session } = this
    const header = readHeader(bytes, from)
    const { prog, proc, serial } = header
    const body = bytes.subarray(from + HEADER_BYTES + (header.type === MESSAGE.callWithFds ? 4 : 0), to)
    if ((noted & KIND.local) !== 0 && answerLocally(session, header, body)) return this.closeDescriptors(descriptors)
    const answer = session.objection(prog, proc, body) ?? (session.reachable() ? undefined : driverClosed())
    if (answer !== undefined) {
      this.closeDescriptors(descriptors)
      if (answer instanceof RemoteError) return session.client.refuse(header, answer)
      return session.client.write(replyFrame(header, answer))
    }
    const kind = kindWithArguments(noted, prog, proc, body)
    if ((kind & KIND.registration) !== 0 && !this.#waits(prog, proc)) this.#registration(header, bytes.subarray(from, to))
    if (descriptors.length > 0) return this.#forwardWithDescriptors(bytes, header, descriptors, kind)
    this.relay(bytes, from, to, this.forward(prog, proc, serial, kind, frameLength(bytes, from)))
  }

  /** Gives the driver daemon the next calls that wait, as many as it takes now. */
  release(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    const { client, driver, state, actor } = this.session
    // While the client is being reconnected, the new daemon has not opened anything yet.
    if (driver === undefined || state !== 'open') return
    while (waiting.size > 0 && this.calls.size < actor.settings.callsInFlight) {
      // The client has to be read for that frame to end, even if it was paused for having too many calls.
      if (client.reader.inPassedFrame) return client.resume(PAUSE.waitingFull)
      const call = waiting.release((bytes, next) => {
        if ((next.kind & KIND.registration) !== 0) this.#registration(next, bytes)
        this.relay(bytes, 0, bytes.length, DISPOSITION.pass)
      })!
      if (call.descriptors.length > 0) this.#sendWithDescriptors(EMPTY, call.descriptors)
      this.#handedOver(call.prog, call.proc, call.serial, call.kind)
      if (call.missing > 0) client.reader.divert(DISPOSITION.pass)
    }
    if (waiting.size === 0) this.#waiting = undefined
    if (!waiting.full) client.resume(PAUSE.waitingFull)
  }

  /** The calls with the daemon fail, and those that wait for it. */
  fail(error: RemoteError): void {
    for (const call of this.calls.takeAll()) this.session.client.write(errorReply(call, error))
    this.failWaiting(error)
  }

  /** The calls that wait for the daemon fail, and what is still to come of the last one is not wanted. */
  failWaiting(error: RemoteError): void {
    const { client } = this.session
    for (const call of this.drop()) client.write(errorReply(call, error))
    client.reader.divert(DISPOSITION.skip)
    client.resume(PAUSE.waitingFull)
  }

  /** Gives up the calls that wait for the daemon; returns their headers. */
  drop(): Header[] {
    const waiting = this.#waiting
    this.#waiting = undefined
    return waiting?.takeAll(descriptor => this.session.actor.io.closer.close(descriptor)) ?? []
  }

  closeDescriptors(descriptors: readonly number[]): void {
    for (const descriptor of descriptors) this.session.actor.io.closer.close(descriptor)
  }

  /** A call of `length` bytes, which are about to be given to `relay`. */
  #wait(
    prog: number,
    proc: number,
    serial: number,
    kind: CallKind,
    length: number,
    descriptors?: readonly number[]
  ): void {
    this.#waiting ??= new WaitingCalls()
    this.#waiting.add(prog, proc, serial, kind, length, descriptors)
    if (this.#waiting.full) this.session.client.pause(PAUSE.waitingFull)
  }

  /** A call is on its way to the driver daemon. */
  #handedOver(prog: number, proc: number, serial: number, kind: CallKind): void {
    this.calls.add(prog, proc, serial, kind)
    if ((kind & KIND.stream) !== 0) this.session.streams.called(prog, proc, serial, (kind & KIND.sparse) !== 0)
  }

  #forwardWithDescriptors(frame: Buffer, header: Header, descriptors: readonly number[], kind: CallKind): void {
    const { prog, proc, serial } = header
    if (this.#waits(prog, proc)) {
      this.#wait(prog, proc, serial, kind, frame.length, descriptors)
      return this.relay(frame, 0, frame.length, DISPOSITION.hold)
    }
    this.#handedOver(prog, proc, serial, kind)
    this.#sendWithDescriptors(frame, descriptors)
  }

  #sendWithDescriptors(frame: Buffer, descriptors: readonly number[]): void {
    const { client, driver } = this.session
    if (!driver!.writer.relayWithDescriptors(frame, descriptors)) client.pause(PAUSE.driverFull)
  }

  /** Only now is it certain by which id the daemon knows what the client deregisters. */
  #registration({ prog, proc, serial }: Pick<Header, 'prog' | 'proc' | 'serial'>, frame: Buffer): void {
    this.session.reconnection.registrations.asked(prog, proc, serial, frame)
  }
}
