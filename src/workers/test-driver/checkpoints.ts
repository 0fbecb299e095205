import { DOMAIN } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'
import type { XdrReader, XdrWriter } from '../../protocol/xdr.js'
import type { Call, HandlerTable } from './call.js'
import { OPEN_ELEMENTS, type Definition, type Domain } from './domain.js'
import { checkFlags, noCheckpoint, operationFailed, operationUnsupported } from './failures.js'
import { DELETE, Moments, onMoment, type Moment } from './moments.js'
import { readDomain, readSnapshot, writeList, writeSnapshot } from './wire.js'
import { attribute, childrenNamed, element, find, parseXml, printXml, textAt, type XmlElement } from './xml.js'

// A checkpoint marks a point of time of a running domain. On the wire it looks like a snapshot: a name and a domain.

/** The flags of LIST_ALL: roots or descendants, leaves and topological order. */
const LIST = { roots: 1, descendants: 1, topological: 2, leaves: 4, noLeaves: 8 } as const
const ALL_LIST = 0xf
const CREATE = { redefine: 1, quiesce: 2 } as const
const XML = { secure: 1, noDomain: 2, size: 4 } as const
/** What a checkpoint's disk claims to have changed, in bytes: any number will do. */
const DISK_BYTES = 1024

export interface Checkpoint extends Moment {
  description: string | undefined
  created: number
  disks: XmlElement | undefined
  domain: Definition
}

/** No checkpoints yet. */
export const newCheckpoints = (): Moments<Checkpoint> =>
  new Moments(name => noCheckpoint(`no domain checkpoint with matching name '${name}'`))

const onCheckpoint = onMoment(domain => domain.checkpoints)

const write = (reply: XdrWriter, domain: Domain, checkpoint: Checkpoint): void =>
  writeSnapshot(reply, { name: checkpoint.name, domain: domain.ref() })

/** The list calls end in "whether results are wanted" and flags. */
function writeFound(
  reply: XdrWriter,
  args: XdrReader,
  cFunction: string,
  found: (flags: number) => [Domain, Checkpoint[]]
): void {
  const [wanted, flags] = [args.i32() !== 0, args.u32()]
  checkFlags(flags, ALL_LIST, cFunction)
  const [domain, checkpoints] = found(flags)
  const leaf = (one: Checkpoint): boolean => domain.checkpoints.children(one).length === 0
  const group = LIST.leaves | LIST.noLeaves
  const kept = checkpoints.filter(one => !(flags & group) || (flags & (leaf(one) ? LIST.leaves : LIST.noLeaves)) !== 0)
  writeList(
    reply,
    kept.map(one => ({ name: one.name, domain: domain.ref() })),
    wanted,
    writeSnapshot
  )
}

function disksOf(tree: XmlElement, domain: Domain): XmlElement | undefined {
  const asked = childrenNamed(find(tree, 'disks'), 'disk')
  const names = childrenNamed(find(domain.definition.tree, 'devices'), 'disk').map(
    disk => attribute(find(disk, 'target'), 'dev') ?? ''
  )
  const rows = names.map(name => {
    const own = asked.find(disk => attribute(disk, 'name') === name)
    const kind = own ? (attribute(own, 'checkpoint') ?? 'bitmap') : asked.length > 0 ? 'no' : 'bitmap'
    return kind === 'bitmap'
      ? { name, checkpoint: kind, bitmap: attribute(own, 'bitmap') ?? textAt(tree, 'name')! }
      : { name, checkpoint: kind }
  })
  return rows.length > 0 ? element('disks', {}, ...rows.map(row => element('disk', row))) : undefined
}

function create({ hypervisor, args, reply }: Call): void {
  const ref = readDomain(args)
  const [xml, flags] = [args.string(), args.u32()]
  checkFlags(flags, CREATE.redefine | CREATE.quiesce, 'testDomainCheckpointCreateXML')
  const domain = hypervisor.domain(ref)
  if (domain.snapshots.size > 0) throw operationUnsupported('cannot create checkpoint while snapshot exists')
  if (!domain.active) throw operationUnsupported('cannot create checkpoint for inactive domain')
  const tree = parseXml(xml, 'domain_checkpoint', 'domaincheckpoint')
  const created = Math.floor(Date.now() / 1000)
  const name = textAt(tree, 'name') ?? String(created)
  const { checkpoints } = domain
  const redefine = (flags & CREATE.redefine) !== 0
  if (!redefine && checkpoints.find(name)) throw operationFailed(`domain moment ${name} already exists`, DOMAIN.domain)
  if (!find(tree, 'name')) tree.children.unshift(element('name', {}, name))
  const checkpoint: Checkpoint = {
    name,
    description: textAt(tree, 'description'),
    parent: redefine ? textAt(tree, 'parent', 'name') : checkpoints.current?.name,
    created: redefine ? Number(textAt(tree, 'creationTime') ?? created) : created,
    disks: disksOf(tree, domain),
    domain: domain.definition.copy()
  }
  checkpoints.add(checkpoint)
  checkpoints.current = checkpoint
  write(reply, domain, checkpoint)
}

function describe({ reply }: Call, domain: Domain, checkpoint: Checkpoint, flags: number): void {
  if (flags & XML.size) domain.requireActive()
  const { name, description, parent, created, disks } = checkpoint
  const shown = childrenNamed(disks, 'disk').map(disk => ({
    ...disk,
    attributes:
      flags & XML.size && attribute(disk, 'bitmap') !== undefined
        ? [...disk.attributes, ['size', String(DISK_BYTES)] as [string, string]]
        : disk.attributes
  }))
  const tree = element(
    'domaincheckpoint',
    {},
    element('name', {}, name),
    ...(description === undefined ? [] : [element('description', {}, description)]),
    ...(parent === undefined ? [] : [element('parent', {}, element('name', {}, parent))]),
    element('creationTime', {}, String(created)),
    ...(disks ? [element('disks', {}, ...shown)] : []),
    ...(flags & XML.noDomain ? [] : [checkpoint.domain.tree])
  )
  reply.string(printXml(tree, 0, OPEN_ELEMENTS))
}

export const checkpointHandlers: HandlerTable = {
  [REMOTE.domainListAllCheckpoints]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    writeFound(reply, args, 'testDomainListAllCheckpoints', flags => {
      const domain = hypervisor.domain(ref)
      const { checkpoints } = domain
      const sorted = flags & LIST.topological ? checkpoints.descendants(undefined) : checkpoints.all
      return [domain, flags & LIST.roots ? checkpoints.children(undefined) : sorted]
    })
  },
  [REMOTE.domainCheckpointListAllChildren]: ({ hypervisor, args, reply }) => {
    const ref = readSnapshot(args)
    writeFound(reply, args, 'testDomainCheckpointListAllChildren', flags => {
      const domain = hypervisor.domain(ref.domain)
      const of = domain.checkpoints.get(ref.name)
      return [domain, flags & LIST.descendants ? domain.checkpoints.descendants(of) : domain.checkpoints.children(of)]
    })
  },
  [REMOTE.domainCheckpointLookupByName]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const name = args.string()
    checkFlags(args.u32(), 0, 'testDomainCheckpointLookupByName')
    const domain = hypervisor.domain(ref)
    write(reply, domain, domain.checkpoints.get(name))
  },
  [REMOTE.domainCheckpointGetParent]: onCheckpoint(0, 'testDomainCheckpointGetParent', (call, domain, checkpoint) => {
    if (checkpoint.parent === undefined) throw noCheckpoint(`checkpoint '${checkpoint.name}' does not have a parent`)
    writeSnapshot(call.reply, { name: checkpoint.parent, domain: domain.ref() })
  }),
  [REMOTE.domainCheckpointGetXmlDesc]: onCheckpoint(7, 'testDomainCheckpointGetXMLDesc', describe),
  [REMOTE.domainCheckpointCreateXml]: create,
  [REMOTE.domainCheckpointDelete]: onCheckpoint(
    DELETE.children | DELETE.metadataOnly | DELETE.childrenOnly,
    'testDomainCheckpointDelete',
    (_call, { checkpoints }, checkpoint, flags) => checkpoints.delete(checkpoint, flags)
  )
}
