import { MESSAGE, PROGRAM, PROGRAM_VERSION, STATUS, encodeFrame } from '../../../protocol/header.js'
import { REMOTE } from '../../../protocol/procedures.js'
import { XdrWriter } from '../../../protocol/xdr.js'
import {
  writeDomain,
  writeNamed,
  writeSecret,
  writeString,
  type DomainRef,
  type NamedRef,
  type SecretRef
} from '../wire.js'

export type EventClass = 'domain' | 'network' | 'pool' | 'nodedev' | 'secret'

/** Who gets events. */
export interface Listener {
  send(frame: Buffer): void
}

export interface Registration {
  readonly id: number
  readonly listener: Listener
  readonly eventClass: EventClass
  readonly eventId: number
  /** UUID in hexadecimal, or a device's name; undefined for the events of every object. */
  readonly object: string | undefined
  /** Registered in the old way: the events carry no callback id. */
  readonly legacy: boolean
}

interface Pending {
  eventClass: EventClass
  eventId: number
  object: string
  procedure: number
  legacyProcedure: number | undefined
  body: Buffer
}

/** Libvirt sends events with serial 1, whatever its comments say. */
const EVENT_SERIAL = 1

export const LIFECYCLE = 0
const REFRESH = 1
const VALUE_CHANGED = 1
const METADATA_CHANGE = 23

/**
 * The registrations of all clients of one hypervisor. Events wait until the call that caused them has been answered,
 * so that a client hears of its own doing after the reply.
 */
export class EventHub {
  readonly #registrations = new Set<Registration>()
  #pending: Pending[] = []
  /** One counter for all clients and classes. */
  #nextId = 0

  /** Undefined if this listener has just this registration already. */
  register(
    listener: Listener,
    eventClass: EventClass,
    eventId: number,
    object: string | undefined,
    legacy: boolean
  ): Registration | undefined {
    for (const other of this.#registrations) {
      const same = other.listener === listener && other.eventClass === eventClass && other.eventId === eventId
      if (same && other.object === object) return undefined
    }
    const registration = { id: this.#nextId++, listener, eventClass, eventId, object, legacy }
    this.#registrations.add(registration)
    return registration
  }

  /** By callback id, or, for registrations of the old way, by event. False if there is none. */
  deregister(listener: Listener, eventClass: EventClass, by: { id: number } | { legacyEvent: number }): boolean {
    for (const one of this.#registrations) {
      if (one.listener !== listener || one.eventClass !== eventClass) continue
      const meant = 'id' in by ? !one.legacy && one.id === by.id : one.legacy && one.eventId === by.legacyEvent
      if (meant) return this.#registrations.delete(one)
    }
    return false
  }

  /** The listener is gone. */
  forget(listener: Listener): void {
    for (const one of this.#registrations) if (one.listener === listener) this.#registrations.delete(one)
  }

  domainLifecycle(dom: DomainRef, event: number, detail: number): void {
    const body = new XdrWriter()
    writeDomain(body, dom)
    this.#queue(
      'domain',
      LIFECYCLE,
      dom.uuid.toString('hex'),
      body.i32(event).i32(detail),
      REMOTE.domainEventCallbackLifecycle,
      REMOTE.domainEventLifecycle
    )
  }

  domainMetadata(dom: DomainRef, type: number, uri: string | undefined): void {
    const body = new XdrWriter()
    writeDomain(body, dom)
    body.i32(type).optional(uri, writeString)
    this.#queue('domain', METADATA_CHANGE, dom.uuid.toString('hex'), body, REMOTE.domainEventCallbackMetadataChange)
  }

  networkLifecycle(net: NamedRef, event: number): void {
    this.#queue(
      'network',
      LIFECYCLE,
      net.uuid.toString('hex'),
      named(net).i32(event).i32(0),
      REMOTE.networkEventLifecycle
    )
  }

  poolLifecycle(pool: NamedRef, event: number): void {
    this.#queue(
      'pool',
      LIFECYCLE,
      pool.uuid.toString('hex'),
      named(pool).i32(event).i32(0),
      REMOTE.storagePoolEventLifecycle
    )
  }

  poolRefresh(pool: NamedRef): void {
    this.#queue('pool', REFRESH, pool.uuid.toString('hex'), named(pool), REMOTE.storagePoolEventRefresh)
  }

  nodeDeviceLifecycle(name: string, event: number): void {
    const body = new XdrWriter().string(name).i32(event).i32(0)
    this.#queue('nodedev', LIFECYCLE, name, body, REMOTE.nodeDeviceEventLifecycle)
  }

  secretLifecycle(secret: SecretRef, event: number): void {
    const body = new XdrWriter()
    writeSecret(body, secret)
    this.#queue('secret', LIFECYCLE, secret.uuid.toString('hex'), body.i32(event).i32(0), REMOTE.secretEventLifecycle)
  }

  secretValueChanged(secret: SecretRef): void {
    const body = new XdrWriter()
    writeSecret(body, secret)
    this.#queue('secret', VALUE_CHANGED, secret.uuid.toString('hex'), body, REMOTE.secretEventValueChanged)
  }

  #queue(
    eventClass: EventClass,
    eventId: number,
    object: string,
    body: XdrWriter,
    procedure: number,
    legacyProcedure?: number
  ): void {
    this.#pending.push({ eventClass, eventId, object, procedure, legacyProcedure, body: body.finish() })
  }

  /** Sends what has been queued, in order. */
  flush(): void {
    if (this.#pending.length === 0) return
    const events = this.#pending
    this.#pending = []
    for (const event of events) for (const to of this.#registrations) if (concerns(event, to)) deliver(event, to)
  }
}

function named(object: NamedRef): XdrWriter {
  const body = new XdrWriter()
  writeNamed(body, object)
  return body
}

function concerns(event: Pending, to: Registration): boolean {
  return (
    to.eventClass === event.eventClass &&
    to.eventId === event.eventId &&
    (to.object === undefined || to.object === event.object)
  )
}

function deliver(event: Pending, to: Registration): void {
  const proc = to.legacy ? event.legacyProcedure : event.procedure
  if (proc === undefined) return
  const payload = to.legacy ? event.body : new XdrWriter(4 + event.body.length).i32(to.id).fixed(event.body).finish()
  to.listener.send(
    encodeFrame(
      {
        prog: PROGRAM.remote,
        vers: PROGRAM_VERSION,
        proc,
        type: MESSAGE.event,
        serial: EVENT_SERIAL,
        status: STATUS.ok
      },
      payload
    )
  )
}
