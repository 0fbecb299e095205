import { REMOTE } from '../../../protocol/procedures.js'
import type { Call, HandlerTable } from '../call.js'
import { checkFlags, interfacesAmbiguous, interfaceStateWrong, noInterface } from '../failures.js'
import type { Hypervisor } from '../hypervisor.js'
import { passes } from '../list/filters.js'
import { countActive, listActive, listAll } from '../list/list-handlers.js'
import { readInterface, writeInterface } from '../wire.js'
import { parseXml, printXml } from '../xml/xml.js'
import type { Interface } from './interfaces.js'
import { completeInterface } from './interfaces.js'

/** What libvirt calls the most that a list has. */
const MOST = 'REMOTE_INTERFACE_LIST_MAX'
/** A bridge's or bond's members are printed with both tags. */
const OPEN_ELEMENTS: ReadonlySet<string> = new Set(['interface'])

const all = ({ interfaces }: Hypervisor): Interface[] => interfaces.all
const named = ({ hypervisor, args }: Call): Interface => hypervisor.interfaces.get(readInterface(args).name)

const setActive =
  (active: boolean, cFunction: string) =>
    ({ hypervisor, args }: Call): void => {
      const { name } = readInterface(args)
      checkFlags(args.u32(), 0, cFunction)
      const iface = hypervisor.interfaces.get(name)
      if (iface.active === active) throw interfaceStateWrong()
      iface.active = active
    }

export const interfaceHandlers: HandlerTable = {
  [REMOTE.connectListAllInterfaces]: listAll({
    all,
    flags: 3,
    cFunction: 'testConnectListAllInterfaces',
    fits: (iface, flags) => passes(iface, flags, [[2, 1, one => one.active]]),
    item: writeInterface
  }),
  [REMOTE.connectNumOfInterfaces]: countActive(all, true),
  [REMOTE.connectListInterfaces]: listActive(all, true, MOST),
  [REMOTE.connectNumOfDefinedInterfaces]: countActive(all, false),
  [REMOTE.connectListDefinedInterfaces]: listActive(all, false, MOST),
  [REMOTE.interfaceLookupByName]: ({ hypervisor, args, reply }) =>
    writeInterface(reply, hypervisor.interfaces.get(args.string())),
  [REMOTE.interfaceLookupByMacString]: ({ hypervisor, args, reply }) => {
    const mac = args.string()
    const found = hypervisor.interfaces.all.filter(iface => iface.mac.toLowerCase() === mac.toLowerCase())
    if (found.length === 0) throw noInterface(`no interface with matching mac '${mac}'`)
    if (found.length > 1) throw interfacesAmbiguous()
    writeInterface(reply, { name: found[0]!.name, mac })
  },
  [REMOTE.interfaceIsActive]: call => void call.reply.bool(named(call).active),
  [REMOTE.interfaceGetXmlDesc]: ({ hypervisor, args, reply }) => {
    const { name } = readInterface(args)
    checkFlags(args.u32(), 0, 'testInterfaceGetXMLDesc')
    reply.string(printXml(hypervisor.interfaces.get(name).definition, 0, OPEN_ELEMENTS))
  },
  [REMOTE.interfaceDefineXml]: ({ hypervisor, args, reply }) => {
    const xml = args.string()
    checkFlags(args.u32(), 1, 'testInterfaceDefineXML')
    const tree = completeInterface(parseXml(xml, 'interface_definition', 'interface'))
    writeInterface(reply, hypervisor.interfaces.put(tree))
  },
  [REMOTE.interfaceUndefine]: call => call.hypervisor.interfaces.remove(named(call)),
  [REMOTE.interfaceCreate]: setActive(true, 'testInterfaceCreate'),
  [REMOTE.interfaceDestroy]: setActive(false, 'testInterfaceDestroy'),
  [REMOTE.interfaceChangeBegin]: ({ hypervisor, args }) => {
    checkFlags(args.u32(), 0, 'testInterfaceChangeBegin')
    hypervisor.interfaces.begin()
  },
  [REMOTE.interfaceChangeCommit]: ({ hypervisor, args }) => {
    checkFlags(args.u32(), 0, 'testInterfaceChangeCommit')
    hypervisor.interfaces.commit()
  },
  [REMOTE.interfaceChangeRollback]: ({ hypervisor, args }) => {
    checkFlags(args.u32(), 0, 'testInterfaceChangeRollback')
    hypervisor.interfaces.rollback()
  }
}
