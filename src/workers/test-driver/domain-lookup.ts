import { DOMAIN } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'
import type { Call, HandlerTable } from './call.js'
import type { Domain } from './domain.js'
import { STATE } from './domain-states.js'
import { badArgument, checkFlags } from './failures.js'
import { passes } from './networks.js'
import { readDomain, readRoom, writeDomain, writeList, writeString } from './wire.js'

/** `VIR_CONNECT_LIST_DOMAINS_*` in pairs; the four of state (16 … 128) are a group of their own. */
const PAIRS: readonly (readonly [yes: number, no: number, is: (domain: Domain) => boolean])[] = [
  [1, 2, domain => domain.active],
  [4, 8, domain => domain.persistent],
  [0x100, 0x200, domain => domain.managedSave],
  [0x400, 0x800, domain => domain.autostart],
  [0x1000, 0x2000, domain => domain.snapshots.size > 0],
  [0x4000, 0x8000, domain => domain.checkpoints.size > 0]
]
const STATES = 0xf0
export const DOMAIN_FILTERS = 0xffff

function stateFlag(state: number): number {
  if (state === STATE.running) return 16
  if (state === STATE.paused) return 32
  return state === STATE.shutoff ? 64 : 128
}

/** Bits of one group are alternatives; a group without a bit does not filter. */
export function fitsFilter(domain: Domain, flags: number): boolean {
  return passes(domain, flags, PAIRS) && (!(flags & STATES) || (flags & stateFlag(domain.state)) !== 0)
}

const all = ({ hypervisor }: Call): Domain[] => [...hypervisor.domains.values()]
/** The domain that the arguments begin with, and that is all of them. */
export const domainOf = (call: Call): Domain => call.hypervisor.domain(readDomain(call.args))

export const domainLookupHandlers: HandlerTable = {
  [REMOTE.connectListAllDomains]: call => {
    const wanted = call.args.i32() !== 0
    const flags = call.args.u32()
    checkFlags(flags, DOMAIN_FILTERS, 'testConnectListAllDomains')
    const found = all(call).filter(domain => fitsFilter(domain, flags))
    writeList(
      call.reply,
      found.map(domain => domain.ref()),
      wanted,
      writeDomain
    )
  },
  [REMOTE.connectNumOfDomains]: call => void call.reply.i32(all(call).filter(domain => domain.active).length),
  [REMOTE.connectListDomains]: call => {
    const most = readRoom(call.args, 'maxids', 'REMOTE_DOMAIN_LIST_MAX')
    const ids = all(call)
      .filter(domain => domain.active)
      .map(domain => domain.id)
    call.reply.array(ids.slice(0, most), (xdr, id) => void xdr.i32(id))
  },
  [REMOTE.connectNumOfDefinedDomains]: call => void call.reply.i32(all(call).filter(domain => !domain.active).length),
  [REMOTE.connectListDefinedDomains]: call => {
    const most = readRoom(call.args, 'maxnames', 'REMOTE_DOMAIN_LIST_MAX')
    const names = all(call)
      .filter(domain => !domain.active)
      .map(domain => domain.name)
    call.reply.array(names.slice(0, most), writeString)
  },
  [REMOTE.domainLookupByName]: ({ hypervisor, args, reply }) => {
    const name = args.string()
    writeDomain(reply, hypervisor.domainWhere(domain => domain.name === name).ref())
  },
  [REMOTE.domainLookupById]: ({ hypervisor, args, reply }) => {
    const id = args.i32()
    if (id < 0)
      throw badArgument('id in virDomainLookupByID must be zero or greater', 'virDomainLookupByID', 'id', DOMAIN.domain)
    writeDomain(reply, hypervisor.domainWhere(domain => domain.active && domain.id === id).ref())
  },
  [REMOTE.domainLookupByUuid]: ({ hypervisor, args, reply }) => {
    const uuid = args.uuid()
    writeDomain(reply, hypervisor.domainWhere(domain => domain.uuid.equals(uuid)).ref())
  },
  [REMOTE.domainIsActive]: call => void call.reply.bool(domainOf(call).active),
  [REMOTE.domainIsPersistent]: call => void call.reply.bool(domainOf(call).persistent),
  // libvirt's test driver does not even look whether there is such a domain.
  [REMOTE.domainIsUpdated]: ({ args, reply }) => {
    readDomain(args)
    reply.bool(false)
  }
}
