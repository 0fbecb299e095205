/**
 * Registrations for events as a driver daemon tells them apart, and the two forms in which it sends events of domains: the
 * older one, and one with the id of the registration.
 */

import { invalidArgument } from '../bad-arguments.js'
import { constantError, internalError, type RemoteError } from '../errors.js'
import { frameLength, frameProcedure, frameProgram, HEADER_BYTES, PROGRAM, readHeader, writeHeader } from '../header.js'
import { QEMU, REMOTE } from '../procedures.js'
import { XdrReader, XdrWriter } from '../xdr.js'
import { REGISTRATIONS, type RegistrationKind } from './events.js'

/** Older events, the same with an id, and the bytes that these have before the older one's body. */
const FORMS: readonly (readonly [older: number, withId: number, more: number])[] = [
  [REMOTE.domainEventLifecycle, REMOTE.domainEventCallbackLifecycle, 4],
  [REMOTE.domainEventReboot, REMOTE.domainEventCallbackReboot, 4],
  [REMOTE.domainEventRtcChange, REMOTE.domainEventCallbackRtcChange, 4],
  [REMOTE.domainEventWatchdog, REMOTE.domainEventCallbackWatchdog, 4],
  [REMOTE.domainEventIoError, REMOTE.domainEventCallbackIoError, 4],
  [REMOTE.domainEventGraphics, REMOTE.domainEventCallbackGraphics, 4],
  [REMOTE.domainEventIoErrorReason, REMOTE.domainEventCallbackIoErrorReason, 4],
  [REMOTE.domainEventControlError, REMOTE.domainEventCallbackControlError, 4],
  [REMOTE.domainEventBlockJob, REMOTE.domainEventCallbackBlockJob, 4],
  [REMOTE.domainEventDiskChange, REMOTE.domainEventCallbackDiskChange, 4],
  [REMOTE.domainEventTrayChange, REMOTE.domainEventCallbackTrayChange, 4],
  // A reason follows the id, which the older form does not have.
  [REMOTE.domainEventPmwakeup, REMOTE.domainEventCallbackPmwakeup, 8],
  [REMOTE.domainEventPmsuspend, REMOTE.domainEventCallbackPmsuspend, 8],
  [REMOTE.domainEventBalloonChange, REMOTE.domainEventCallbackBalloonChange, 4],
  [REMOTE.domainEventPmsuspendDisk, REMOTE.domainEventCallbackPmsuspendDisk, 8],
  [REMOTE.domainEventDeviceRemoved, REMOTE.domainEventCallbackDeviceRemoved, 4]
]

const OLDER = new Map(FORMS.map(([older, withId, more]) => [withId, { older, more }]))

/** Events of domains that the older way of registering knows: 0 up to VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED. */
const OLDER_EVENTS = FORMS.length

/** A whole event with an id, as it goes to several who have registered for it. */
export class EventFrame {
  readonly bytes: Buffer
  readonly from: number
  readonly to: number
  #older: Buffer | undefined

  /** Its header stands at `bytes[from]`. Both may be changed there. */
  constructor(bytes: Buffer, from: number) {
    this.bytes = bytes
    this.from = from
    this.to = from + frameLength(bytes, from)
  }

  /** The same, of which nothing changes when its first place is used for something else. */
  kept(): EventFrame {
    return new EventFrame(Buffer.from(this.bytes.subarray(this.from, this.to)), 0)
  }

  get length(): number {
    return this.to - this.from
  }

  set id(id: number) {
    this.bytes.writeInt32BE(id, this.from + HEADER_BYTES)
  }

  /** What is sent to those who have registered in the older way; undefined if they know nothing like it. */
  get older(): Buffer | undefined {
    return (this.#older ??= this.#makeOlder())
  }

  #makeOlder(): Buffer | undefined {
    const { bytes, from, to } = this
    const form = frameProgram(bytes, from) === PROGRAM.remote ? OLDER.get(frameProcedure(bytes, from)) : undefined
    if (form === undefined || this.length < HEADER_BYTES + form.more) return undefined
    const frame = Buffer.allocUnsafe(this.length - form.more)
    writeHeader(frame, 0, frame.length, { ...readHeader(bytes, from), proc: form.older })
    bytes.copy(frame, HEADER_BYTES, from + HEADER_BYTES + form.more, to)
    return frame
  }
}

/** What a client registers for. A daemon makes one registration of a connection's for all topics with the same key. */
export interface Topic {
  readonly key: string
  readonly kind: RegistrationKind
  readonly event: number
  /** Arguments of the call that registers for it, in the form with an id. */
  readonly args: Buffer
  /** It has conditions that only the daemon knows to judge. */
  readonly filtered: boolean
}

/** Daemons compare the UUID where there is one, whatever name and number come with it. */
type ReadObject = (xdr: XdrReader) => string

const named: ReadObject = xdr => {
  xdr.string()
  return xdr.uuid().toString('hex')
}
const domain: ReadObject = xdr => {
  const uuid = named(xdr)
  xdr.i32()
  return uuid
}
const secret: ReadObject = xdr => {
  const uuid = xdr.uuid().toString('hex')
  xdr.i32()
  xdr.string()
  return uuid
}
const device: ReadObject = xdr => `name ${xdr.string()}`

/** Of each kind with ids: how it names its objects, and what libvirt calls a registration that is not there. */
const CLASSES = new Map<number, readonly [read: ReadObject, called: string]>([
  [REMOTE.connectDomainEventCallbackRegisterAny, [domain, 'domain event callback']],
  [REMOTE.connectNetworkEventRegisterAny, [named, 'network event callback']],
  [REMOTE.connectStoragePoolEventRegisterAny, [named, 'storage pool event callback']],
  [REMOTE.connectNodeDeviceEventRegisterAny, [device, 'node device event callback']],
  [REMOTE.connectSecretEventRegisterAny, [secret, 'node device event callback']],
  [QEMU.connectDomainMonitorEventRegister, [domain, 'qemu monitor event callback']]
])

const KINDS = new Map(
  REGISTRATIONS.flatMap(kind => [kind.register, kind.deregister].map(proc => [`${kind.prog}:${proc}`, kind] as const))
)

/** What a procedure registers for, or deregisters from. */
export function registrationKind(prog: number, proc: number): RegistrationKind | undefined {
  return KINDS.get(`${prog}:${proc}`)
}

const DOMAINS = registrationKind(PROGRAM.remote, REMOTE.connectDomainEventCallbackRegisterAny)!

/** The kind with ids of the same events. */
export function withIds(kind: RegistrationKind): RegistrationKind {
  return kind.form === 'byId' ? kind : DOMAINS
}

/** The event that a call of an older kind is about. Throws XdrError, or the RemoteError that a daemon answers. */
export function readOlderEvent({ form }: RegistrationKind, args: Buffer): number {
  if (form === 'single') return 0
  const event = new XdrReader(args).i32()
  if (event < 0 || event >= OLDER_EVENTS) throw internalError(`unsupported event ID ${event}`)
  return event
}

/** What a call registers for. Throws as `readOlderEvent`. */
export function readTopic(kind: RegistrationKind, args: Buffer): Topic {
  if (kind.form !== 'byId') {
    const event = readOlderEvent(kind, args)
    return readTopic(DOMAINS, new XdrWriter(8).i32(event).bool(false).finish())
  }
  const xdr = new XdrReader(args)
  const [read] = CLASSES.get(kind.register)!
  const event = repeats(kind) ? 0 : xdr.i32()
  const object = xdr.optional(read) ?? 'all'
  const filtered = repeats(kind) && (xdr.optional(x => x.string()) !== undefined || xdr.u32() !== 0)
  return { key: `${kind.register} ${event} ${object}`, kind, event, args, filtered }
}

/** Whether a connection may register more than once for the same: only for events of QEMU's monitor, which have conditions. */
export function repeats({ prog }: RegistrationKind): boolean {
  return prog === PROGRAM.qemu
}

/** Registered once more for the same. */
export const alreadyTracked = constantError(() => invalidArgument('event callback already tracked'))

/** `id`: of the registration, or in an older kind the event. */
export function notRegistered(kind: RegistrationKind, id: number): RemoteError {
  if (kind.form !== 'byId') return internalError(`domain event ${id} not registered`)
  const [, called] = CLASSES.get(kind.register)!
  return internalError(`${called} ${id} not registered`)
}
