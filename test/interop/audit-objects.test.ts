import { expect } from 'chai'
import { PROGRAM } from '#protocol/header.js'
import { proceduresOf } from '#protocol/procedures.js'
import { mustRun } from '../support/processes.js'

/** Kinds of objects, by the names that libvirt's protocol has for arguments and results of their types. */
const KINDS: Readonly<Record<string, string>> = {
  dom: 'domain', ddom: 'domain', net: 'network', network: 'network', pool: 'storage_pool', vol: 'storage_vol', secret: 'secret',
  nwfilter: 'nwfilter', iface: 'interface', dev: 'node_device', snap: 'domain_snapshot', snapshot: 'domain_snapshot',
  checkpoint: 'domain_checkpoint', port: 'network_port'
}

/** Bindings go by the name of filters there, and parents by that of what they are. */
function kindOf(field: string, procedure: string): string | undefined {
  if (procedure.startsWith('NWFILTER_BINDING')) return 'nwfilter_binding'
  if (field === 'parent') return procedure.includes('CHECKPOINT') ? 'domain_checkpoint' : 'domain_snapshot'
  return KINDS[field]
}

describe('the objects that calls begin with', function () {
  this.timeout(60_000)

  it('are those of libvirt\'s own dissector', async () => {
    const { stdout } = await mustRun(['tshark', '-G', 'fields'])
    /** The first field of each structure that is a structure itself, else undefined; in the order of the protocol. */
    const heads = new Map<string, { name: string; isStructure: boolean }>()
    for (const line of stdout.split('\n')) {
      const [, , path = '', type] = line.split('\t')
      const [, structure, name] = /^libvirt\.((?:remote|qemu|lxc)_\w+_(?:args|ret))\.(\w+)$/.exec(path) ?? []
      if (structure !== undefined && !heads.has(structure)) heads.set(structure, { name: name!, isStructure: type === 'FT_NONE' })
    }
    expect(heads.size, 'structures').to.be.above(400)
    let compared = 0
    for (const [program, prefix] of [[PROGRAM.remote, 'remote'], [PROGRAM.qemu, 'qemu'], [PROGRAM.lxc, 'lxc']] as const) {
      for (const { name, object, kind } of proceduresOf(program)) {
        // The one structure at the head of arguments that may be missing.
        if (kind !== 'call' || name === 'CONNECT_DOMAIN_MONITOR_EVENT_REGISTER') continue
        const [asked = '', answered = ''] = object.split('>')
        for (const [part, found] of [['args', asked], ['ret', answered]] as const) {
          const head = heads.get(`${prefix}_${name.toLowerCase()}_${part}`)
          if (head === undefined) continue
          compared++
          const string = part === 'args' && ['node_device', 'domain_name', 'file'].includes(found)
          if (string) expect(head.isStructure, name).to.equal(false)
          else expect(found, `${name} ${part}: ${head.name}`).to.equal((head.isStructure && kindOf(head.name, name)) || '')
        }
      }
    }
    expect(compared, 'heads').to.be.above(400)
  })
})
