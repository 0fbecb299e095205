/**
 * Registering for events. The broker never reads the object or the event that a registration is about, only the id
 * which the daemon gives it: the first word of the reply, of the deregistration and of each such event.
 */

import { PROGRAM } from '../header.js'
import { lookup, QEMU, REMOTE } from '../procedures.js'
import { XdrReader, XdrWriter } from '../xdr.js'

/**
 * `byId`: the reply brings a callback id, which deregistration repeats.
 * `byEvent`: both name an event (the older form). `single`: neither says anything.
 */
export type RegistrationForm = 'byId' | 'byEvent' | 'single'

export interface RegistrationKind {
  prog: number
  register: number
  deregister: number
  form: RegistrationForm
}

const remote = (register: number, deregister: number, form: RegistrationForm): RegistrationKind => ({
  prog: PROGRAM.remote,
  register,
  deregister,
  form
})

export const REGISTRATIONS: readonly RegistrationKind[] = [
  remote(REMOTE.connectDomainEventRegister, REMOTE.connectDomainEventDeregister, 'single'),
  remote(REMOTE.connectDomainEventRegisterAny, REMOTE.connectDomainEventDeregisterAny, 'byEvent'),
  remote(REMOTE.connectDomainEventCallbackRegisterAny, REMOTE.connectDomainEventCallbackDeregisterAny, 'byId'),
  remote(REMOTE.connectNetworkEventRegisterAny, REMOTE.connectNetworkEventDeregisterAny, 'byId'),
  remote(REMOTE.connectStoragePoolEventRegisterAny, REMOTE.connectStoragePoolEventDeregisterAny, 'byId'),
  remote(REMOTE.connectNodeDeviceEventRegisterAny, REMOTE.connectNodeDeviceEventDeregisterAny, 'byId'),
  remote(REMOTE.connectSecretEventRegisterAny, REMOTE.connectSecretEventDeregisterAny, 'byId'),
  remote(REMOTE.connectRegisterCloseCallback, REMOTE.connectUnregisterCloseCallback, 'single'),
  {
    prog: PROGRAM.qemu,
    register: QEMU.connectDomainMonitorEventRegister,
    deregister: QEMU.connectDomainMonitorEventDeregister,
    form: 'byId'
  }
]

/**
 * Whether an event's first word is the id of the registration that it answers. The older events, all of domains and
 * all numbered before the first that has an id, and the one about the lost driver have none.
 */
export function carriesCallbackId(prog: number, proc: number): boolean {
  if (prog !== PROGRAM.remote) return prog === PROGRAM.qemu
  return proc > REMOTE.domainEventDeviceRemoved && proc !== REMOTE.connectEventConnectionClosed
}

/**
 * The kind of registration that an event with an id answers. Each driver numbers its own: a domain's and a network's
 * registration may have the same id. Events newer than the table are of domains.
 */
export function kindOfEvent(prog: number, proc: number): RegistrationKind | undefined {
  return KINDS_BY_OWNER.get(`${prog}:${lookup(prog, proc)?.owner ?? 'hypervisor'}`)
}

const KINDS_BY_OWNER = new Map(
  REGISTRATIONS.filter(({ form }) => form === 'byId').map(kind => [
    `${kind.prog}:${lookup(kind.prog, kind.register)?.owner}`,
    kind
  ])
)

/** Body of a reply to a registration, and of a deregistration: one id (or, in the older form, one event number). */
export function encodeCallbackId(id: number): Buffer {
  return new XdrWriter(4).i32(id).finish()
}

/** Throws XdrError. */
export function decodeCallbackId(body: Buffer): number {
  return new XdrReader(body).i32()
}
