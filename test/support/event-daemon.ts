import { expect } from 'chai'
import { errorReply } from '#protocol/errors.js'
import { invalidArgument } from '#protocol/bad-arguments.js'
import { frameProcedure, HEADER_BYTES, MESSAGE, PROGRAM } from '#protocol/header.js'
import { readTopic, registrationKind, repeats, type Topic } from '#protocol/messages/event-forms.js'
import { encodeCallbackId } from '#protocol/messages/events.js'
import { lookup } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { frame, type Frame } from './frame-socket.js'
import type { Upstream } from './shared-trial.js'

/** A domain as calls name it. `uuid`: in hex. */
export const encodeDomain = (uuid: string, name = 'x', id = -1): Buffer =>
  new XdrWriter().string(name).fixed(Buffer.from(uuid, 'hex')).i32(id).finish()

/** Arguments of a call that registers for an event in the form with an id, of one object or of all. */
export const registrationArgs = (event: number, object?: Buffer): Buffer =>
  Buffer.concat([new XdrWriter().i32(event).bool(object !== undefined).finish(), object ?? Buffer.alloc(0)])

/** Carries out registrations on one connection in memory as a daemon does, and sends events to it. */
export class EventDaemon {
  readonly made: { id: number; topic: Topic }[] = []
  #next = 0

  constructor(readonly upstream: Upstream) {}

  /** Carries out what has come. How many calls that were. */
  serve(): number {
    const calls = this.upstream.take()
    for (const call of calls) this.answer(call)
    return calls.length
  }

  /** A connection sees one way of registering only: that with an id. */
  answer(call: Frame): void {
    const kind = registrationKind(call.prog, call.proc)!
    expect(kind.form).to.equal('byId')
    if (call.proc === kind.deregister) {
      const at = this.made.findIndex(({ id, topic }) => id === call.payload.readInt32BE(0) && topic.kind === kind)
      expect(at, 'deregistered').to.be.at.least(0)
      this.made.splice(at, 1)
      return this.upstream.reply(call)
    }
    const topic = readTopic(kind, call.payload)
    if (!repeats(kind) && this.made.some(({ topic: { key } }) => key === topic.key)) {
      return this.upstream.transport.receive(errorReply(call, invalidArgument('event callback already tracked')))
    }
    this.made.push({ id: this.#next, topic })
    this.upstream.reply(call, encodeCallbackId(this.#next++))
  }

  /** Sends it for each registration that it concerns, in one piece. `object`: whose UUID or name the key of a topic ends with. */
  send(proc: number, event: number, body: Buffer, object = '', prog: number = PROGRAM.remote): void {
    const owner = lookup(prog, proc)!.owner
    const concerned = this.made.filter(({ topic: { kind, event: of, key } }) => {
      const likeIt = kind.prog === prog && lookup(prog, kind.register)!.owner === owner && of === event
      return likeIt && (key.endsWith(' all') || (object !== '' && key.endsWith(object)))
    })
    const frames = concerned.map(({ id }) =>
      frame({ prog, proc, type: MESSAGE.event, serial: 1 }, Buffer.concat([encodeCallbackId(id), body])))
    if (frames.length > 0) this.upstream.transport.receive(Buffer.concat(frames))
  }
}

/** The events among frames. */
export function eventsIn(bytes: Buffer): { proc: number; body: Buffer }[] {
  const found = []
  for (let at = 0; at < bytes.length; at += bytes.readUInt32BE(at)) {
    if (bytes.readUInt32BE(at + 16) !== MESSAGE.event) continue
    found.push({ proc: frameProcedure(bytes, at), body: bytes.subarray(at + HEADER_BYTES, at + bytes.readUInt32BE(at)) })
  }
  return found
}
