import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { Call, HandlerTable } from '../call.js'
import { OPEN_ELEMENTS } from '../domain/definition.js'
import type { Domain } from '../domain/domain.js'
import { checkFlags, noCheckpoint, operationFailed, operationUnsupported } from '../failures.js'
import { readDomain, writeSnapshot } from '../wire.js'
import { attribute, childrenNamed, element, find, parseXml, printXml, textAt, type XmlElement } from '../xml/xml.js'
import type { Checkpoint } from './checkpoints.js'
import { momentHandlers, momentRef, onMoment, type MomentKind } from './moment-handlers.js'
import { DELETE } from './moments.js'

// On the wire a checkpoint looks like a snapshot: a name and a domain.

const CREATE = { redefine: 1, quiesce: 2 } as const
const XML = { secure: 1, noDomain: 2, size: 4 } as const
/** What a checkpoint's disk claims to have changed, in bytes: any number will do. */
const DISK_BYTES = 1024

const CHECKPOINTS: MomentKind<Checkpoint> = {
  called: 'Checkpoint',
  of: domain => domain.checkpoints,
  noParent: ({ name }) => noCheckpoint(`checkpoint '${name}' does not have a parent`),
  listFlags: 0xf,
  topological: 2,
  fits: () => true,
  deleteFlags: DELETE.children | DELETE.metadataOnly | DELETE.childrenOnly
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
  writeSnapshot(reply, momentRef(domain, checkpoint))
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
  ...momentHandlers(CHECKPOINTS),
  [REMOTE.domainCheckpointGetXmlDesc]: onMoment(CHECKPOINTS)(7, 'testDomainCheckpointGetXMLDesc', describe),
  [REMOTE.domainCheckpointCreateXml]: create
}
