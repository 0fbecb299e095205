import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { HandlerTable } from '../call.js'
import { badArgument } from '../failures.js'
import type { Hypervisor } from '../hypervisor.js'
import { countActive, listActive, listAll } from '../list/list-handlers.js'
import { readDomain, readRoom, writeDomain } from '../wire.js'
import type { Domain } from './domain.js'
import { DOMAIN_FILTERS, fitsFilter } from './filters.js'
import { domainOf } from './on-domain.js'

const all = ({ domains }: Hypervisor): Domain[] => [...domains.values()]
/** What libvirt calls the most that a list has. */
const MOST = 'REMOTE_DOMAIN_LIST_MAX'
export const domainLookupHandlers: HandlerTable = {
  [REMOTE.connectListAllDomains]: listAll({
    all,
    flags: DOMAIN_FILTERS,
    cFunction: 'testConnectListAllDomains',
    fits: fitsFilter,
    item: (xdr, domain) => writeDomain(xdr, domain.ref())
  }),
  [REMOTE.connectNumOfDomains]: countActive(all, true),
  [REMOTE.connectListDomains]: ({ hypervisor, args, reply }) => {
    const most = readRoom(args, 'maxids', MOST)
    const ids = all(hypervisor)
      .filter(domain => domain.active)
      .map(domain => domain.id)
    reply.array(ids.slice(0, most), (xdr, id) => void xdr.i32(id))
  },
  [REMOTE.connectNumOfDefinedDomains]: countActive(all, false),
  [REMOTE.connectListDefinedDomains]: listActive(all, false, MOST),
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
