import { DOMAIN } from '../../../protocol/errors.js'
import { completeDomain } from '../domain/domain-xml.js'
import { Definition, OPEN_ELEMENTS } from '../domain/definition.js'
import { internal, xmlFailure } from '../failures.js'
import type { Snapshot } from './snapshots.js'
import { childrenNamed, attribute, copyOf, element, find, printXml, textAt, type XmlElement } from '../xml/xml.js'

const STATES = new Set([
  'nostate',
  'running',
  'blocked',
  'paused',
  'shutdown',
  'shutoff',
  'crashed',
  'pmsuspended',
  'disk-snapshot'
])

/**
 * A snapshot from a client's definition. `redefine`: it describes one that was, so that state, time and parent are
 * taken from it. Throws libvirt's error.
 */
export function parseSnapshot(tree: XmlElement, redefine: boolean): { snapshot: Snapshot; current: boolean } {
  const created = Math.floor(Date.now() / 1000)
  const name = textAt(tree, 'name')
  const memory = find(tree, 'memory')
  const domain = find(tree, 'domain')
  const snapshot: Snapshot = {
    name: name ?? String(created),
    state: 'running',
    created,
    description: textAt(tree, 'description'),
    parent: undefined,
    domain: undefined,
    memory: memory ? copyOf(memory) : element('memory', { snapshot: 'internal' }),
    disks: find(tree, 'disks')
  }
  if (redefine) {
    if (name === undefined) throw xmlFailure('a redefined snapshot must have a name', DOMAIN.domainSnapshot)
    const time = textAt(tree, 'creationTime')
    if (time === undefined || !/^\d+$/.test(time))
      throw xmlFailure('missing creationTime from existing snapshot', DOMAIN.domainSnapshot)
    const state = textAt(tree, 'state')
    if (state === undefined) throw xmlFailure('missing state from existing snapshot', DOMAIN.domainSnapshot)
    if (!STATES.has(state)) throw xmlFailure(`Invalid state '${state}' in domain snapshot XML`, DOMAIN.domainSnapshot)
    snapshot.created = Number(time)
    snapshot.state = state
    snapshot.parent = textAt(tree, 'parent', 'name')
    if (domain) snapshot.domain = new Definition(completeDomain(domain))
  }
  return { snapshot, current: textAt(tree, 'active') === '1' }
}

/** What `virDomainSnapshotAlignDisks` makes of a snapshot without external parts: every disk that has a source. */
export function alignDisks(snapshot: Snapshot): void {
  const disks = childrenNamed(find(snapshot.domain?.tree, 'devices'), 'disk')
  const asked = childrenNamed(snapshot.disks, 'disk')
  const names = disks.filter(disk => find(disk, 'source')).map(disk => attribute(find(disk, 'target'), 'dev') ?? '')
  for (const disk of asked) {
    const name = attribute(disk, 'name')
    if (name === undefined || !names.includes(name))
      throw internal(`no disk named '${name ?? ''}'`, DOMAIN.domainSnapshot)
  }
  const rows = names.map(name => {
    const own = asked.find(disk => attribute(disk, 'name') === name)
    return own ? copyOf(own) : element('disk', { name, snapshot: 'internal' })
  })
  snapshot.disks = rows.length > 0 ? element('disks', {}, ...rows) : undefined
}

export function describeSnapshot(snapshot: Snapshot): string {
  const { name, description, state, created, parent, memory, disks, domain } = snapshot
  const tree = element(
    'domainsnapshot',
    {},
    element('name', {}, name),
    ...(description === undefined ? [] : [element('description', {}, description)]),
    element('state', {}, state),
    ...(parent === undefined ? [] : [element('parent', {}, element('name', {}, parent))]),
    element('creationTime', {}, String(created)),
    memory,
    ...(disks ? [disks] : []),
    ...(domain ? [domain.tree] : [])
  )
  return printXml(tree, 0, OPEN_ELEMENTS)
}
