import { DOMAIN, internalError } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { XdrReader } from '../../../protocol/xdr.js'
import type { Call, HandlerTable } from '../call.js'
import type { EventClass } from './event-hub.js'
import { LIFECYCLE } from './event-hub.js'
import { invalidArg } from '../failures.js'
import { readDomain, readNamed, readSecret } from '../wire.js'

/** Domain events of libvirt 9.0: ids 0 … 26; the old way of registering knows those up to 15. */
const DOMAIN_EVENTS = 27
const LEGACY_EVENTS = 16

/**
 * How a class is registered for: what it, and a registration that is not there, is called in errors, how many events it has,
 * how its objects are named.
 */
interface ClassRules {
  called: string
  /** If it is not the same. */
  registrationOf?: string
  events: number
  object: (xdr: XdrReader) => string
}

const byUuid =
  (read: (xdr: XdrReader) => { uuid: Buffer }) =>
    (xdr: XdrReader): string =>
      read(xdr).uuid.toString('hex')

const CLASSES: Record<EventClass, ClassRules> = {
  domain: { called: 'domain', events: DOMAIN_EVENTS, object: byUuid(readDomain) },
  network: { called: 'network', events: 1, object: byUuid(readNamed) },
  pool: { called: 'storage pool', events: 2, object: byUuid(readNamed) },
  nodedev: { called: 'node device', events: 2, object: xdr => xdr.string() },
  // libvirt calls it that.
  secret: { called: 'secret', registrationOf: 'node device', events: 2, object: byUuid(readSecret) }
}

function register(
  call: Call,
  eventClass: EventClass,
  eventId: number,
  object: string | undefined,
  legacy: boolean
): number {
  const made = call.hypervisor.events.register(call.client.connection, eventClass, eventId, object, legacy)
  if (!made) throw invalidArg('event callback already tracked', DOMAIN.none)
  return made.id
}

const registerAny =
  (eventClass: EventClass) =>
    (call: Call): void => {
      const rules = CLASSES[eventClass]
      const eventId = call.args.i32()
      const object = call.args.optional(rules.object)
      if (eventId < 0 || eventId >= rules.events) throw unknownEvent(rules, eventId)
      call.reply.i32(register(call, eventClass, eventId, object, false))
    }

const unknownEvent = (rules: ClassRules, eventId: number): Error =>
  internalError(`unsupported ${rules.called === 'domain' ? '' : `${rules.called} `}event ID ${eventId}`)

const deregisterAny =
  (eventClass: EventClass) =>
    ({ client, hypervisor, args }: Call): void => {
      const id = args.i32()
      if (hypervisor.events.deregister(client.connection, eventClass, { id })) return
      const { called, registrationOf = called } = CLASSES[eventClass]
      throw internalError(`${registrationOf} event callback ${id} not registered`)
    }

function deregisterLegacy({ client, hypervisor }: Call, eventId: number): void {
  if (!hypervisor.events.deregister(client.connection, 'domain', { legacyEvent: eventId }))
    throw internalError(`domain event ${eventId} not registered`)
}

export const eventHandlers: HandlerTable = {
  [REMOTE.connectDomainEventRegister]: call => {
    register(call, 'domain', LIFECYCLE, undefined, true)
    call.reply.i32(0)
  },
  [REMOTE.connectDomainEventDeregister]: call => {
    deregisterLegacy(call, LIFECYCLE)
    call.reply.i32(0)
  },
  [REMOTE.connectDomainEventRegisterAny]: call => {
    const eventId = call.args.i32()
    if (eventId < 0 || eventId >= LEGACY_EVENTS) throw unknownEvent(CLASSES.domain, eventId)
    register(call, 'domain', eventId, undefined, true)
  },
  [REMOTE.connectDomainEventDeregisterAny]: call => {
    const eventId = call.args.i32()
    if (eventId < 0 || eventId >= LEGACY_EVENTS) throw unknownEvent(CLASSES.domain, eventId)
    deregisterLegacy(call, eventId)
  },
  [REMOTE.connectDomainEventCallbackRegisterAny]: registerAny('domain'),
  [REMOTE.connectDomainEventCallbackDeregisterAny]: deregisterAny('domain'),
  [REMOTE.connectNetworkEventRegisterAny]: registerAny('network'),
  [REMOTE.connectNetworkEventDeregisterAny]: deregisterAny('network'),
  [REMOTE.connectStoragePoolEventRegisterAny]: registerAny('pool'),
  [REMOTE.connectStoragePoolEventDeregisterAny]: deregisterAny('pool'),
  [REMOTE.connectNodeDeviceEventRegisterAny]: registerAny('nodedev'),
  [REMOTE.connectNodeDeviceEventDeregisterAny]: deregisterAny('nodedev'),
  [REMOTE.connectSecretEventRegisterAny]: registerAny('secret'),
  [REMOTE.connectSecretEventDeregisterAny]: deregisterAny('secret')
}
