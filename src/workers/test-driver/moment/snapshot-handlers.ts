import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { Call, HandlerTable } from '../call.js'
import type { Domain } from '../domain/domain.js'
import { perform } from '../domain/life.js'
import { onDomain } from '../domain/on-domain.js'
import { EVENT, PAUSED, RUNNING, SHUTOFF, STARTED, STATE, STOPPED, SUSPENDED } from '../domain/states.js'
import {
  checkFlags,
  denied,
  invalid,
  noSnapshot,
  operationFailed,
  operationUnsupported,
  riskyRevert
} from '../failures.js'
import type { Hypervisor } from '../hypervisor.js'
import { readDomain, readRoom, readSnapshot, writeSnapshot, writeString } from '../wire.js'
import { element, parseXml } from '../xml/xml.js'
import { momentHandlers, type MomentKind, momentRef, momentsBelow, momentsOf, onMoment } from './moment-handlers.js'
import { DELETE } from './moments.js'
import { alignDisks, describeSnapshot, parseSnapshot } from './snapshot-xml.js'
import type { Snapshot } from './snapshots.js'

/** Flags of the calls that list, beside those that all moments have. */
const LIST = {
  metadata: 2,
  noMetadata: 16,
  inactive: 32,
  active: 64,
  diskOnly: 128,
  internal: 256,
  external: 512,
  topological: 1024
} as const
const ALL_LIST = 0x7ff
const CREATE = { redefine: 1, current: 2, halt: 8, quiesce: 64, atomic: 128, live: 256, validate: 512 } as const
const ALL_CREATE = 0x3cb
const REVERT = { running: 1, paused: 2, force: 4 } as const

const STATE_NAMES: Record<number, string> = {
  [STATE.running]: 'running',
  [STATE.paused]: 'paused',
  [STATE.shutoff]: 'shutoff',
  [STATE.crashed]: 'crashed'
}

const SNAPSHOTS: MomentKind<Snapshot> = {
  called: 'Snapshot',
  of: domain => domain.snapshots,
  noParent: ({ name }) => noSnapshot(`snapshot '${name}' does not have a parent`),
  listFlags: ALL_LIST,
  topological: LIST.topological,
  fits,
  deleteFlags: DELETE.children | DELETE.childrenOnly
}

const onSnapshot = onMoment(SNAPSHOTS)

/** All of them have metadata and lie inside their disks; bits of one group are alternatives. */
function fits(snapshot: Snapshot, flags: number): boolean {
  const wants = (group: number, flag: number): boolean => !(flags & group) || (flags & flag) !== 0
  const states = LIST.inactive | LIST.active | LIST.diskOnly
  const state =
    snapshot.state === 'disk-snapshot' ? LIST.diskOnly : snapshot.state === 'shutoff' ? LIST.inactive : LIST.active
  return (
    wants(LIST.metadata | LIST.noMetadata, LIST.metadata) &&
    wants(states, state) &&
    wants(LIST.internal | LIST.external, LIST.internal)
  )
}

function create({ hypervisor, args, reply }: Call): void {
  const ref = readDomain(args)
  const [xml, flags] = [args.string(), args.u32()]
  checkFlags(flags, ALL_CREATE, 'testDomainSnapshotCreateXML')
  const redefine = (flags & CREATE.redefine) !== 0
  const domain = hypervisor.domain(ref)
  const { snapshots } = domain
  if (domain.checkpoints.size > 0) throw operationUnsupported('cannot create snapshot while checkpoint exists')
  if (!domain.persistent && flags & CREATE.halt) throw invalid('cannot halt after transient domain snapshot')
  const { snapshot } = parseSnapshot(parseXml(xml, 'domain_snapshot', 'domainsnapshot'), redefine)
  if (!redefine) {
    if (snapshots.find(snapshot.name))
      throw operationFailed(`domain moment ${snapshot.name} already exists`, DOMAIN.domain)
    snapshot.state = STATE_NAMES[domain.state] ?? 'nostate'
    if (snapshot.state === 'shutoff') snapshot.memory = element('memory', { snapshot: 'no' })
    snapshot.domain = domain.definition.copy()
    snapshot.parent = snapshots.current?.name
    alignDisks(snapshot)
  }
  snapshots.add(snapshot)
  if (!redefine || flags & CREATE.current) snapshots.current = snapshot
  if (flags & CREATE.halt && domain.active) perform(hypervisor, domain, 'halt')
  writeSnapshot(reply, momentRef(domain, snapshot))
}

/** A running domain is stopped first, whatever comes after. */
function halt({ events, nextDomainId }: Hypervisor, domain: Domain): void {
  if (!domain.active) return
  domain.become(STATE.shutoff, SHUTOFF.fromSnapshot, nextDomainId)
  domain.announce(events, EVENT.stopped, STOPPED.fromSnapshot)
}

function revert({ hypervisor }: Call, domain: Domain, snapshot: Snapshot, flags: number): void {
  const { events, nextDomainId } = hypervisor
  const wanted = flags & (REVERT.running | REVERT.paused)
  const active = snapshot.state === 'running' || snapshot.state === 'paused'
  if (!domain.persistent && !active && !wanted)
    throw invalid('transient domain needs to request run or pause to revert to inactive snapshot')
  if (!(flags & REVERT.force) && !snapshot.domain)
    throw riskyRevert(`snapshot '${snapshot.name}' lacks domain '${domain.name}' rollback info`)
  halt(hypervisor, domain)
  if (snapshot.domain) domain.definition = snapshot.domain.copy()
  const paused = !(flags & REVERT.running) && (snapshot.state === 'paused' || (flags & REVERT.paused) !== 0)
  if (active) domain.become(STATE.running, RUNNING.fromSnapshot, nextDomainId)
  // Of an inactive snapshot libvirt's test driver only says that it was started, and leaves the domain off.
  if (active || wanted) domain.announce(events, EVENT.started, STARTED.fromSnapshot)
  if (active && paused) domain.become(STATE.paused, PAUSED.fromSnapshot, nextDomainId)
  if (paused) domain.announce(events, EVENT.suspended, SUSPENDED.fromSnapshot)
  hypervisor.dropIfGone(domain)
  domain.snapshots.current = snapshot
}

function listNames(call: Call, snapshots: Snapshot[], most: number): void {
  call.reply.array(snapshots.map(one => one.name).slice(0, most), writeString)
}

export const snapshotHandlers: HandlerTable = {
  ...momentHandlers(SNAPSHOTS),
  [REMOTE.domainSnapshotNum]: onDomain(
    ALL_LIST,
    'testDomainSnapshotNum',
    (call, domain, flags) => void call.reply.i32(momentsOf(SNAPSHOTS, domain, flags).length)
  ),
  [REMOTE.domainSnapshotListNames]: call => {
    const ref = readDomain(call.args)
    const most = readRoom(call.args, 'maxnames', 'REMOTE_DOMAIN_SNAPSHOT_LIST_MAX')
    const flags = call.args.u32()
    checkFlags(flags, ALL_LIST, 'testDomainSnapshotListNames')
    listNames(call, momentsOf(SNAPSHOTS, call.hypervisor.domain(ref), flags), most)
  },
  [REMOTE.domainSnapshotNumChildren]: onSnapshot(
    ALL_LIST,
    'testDomainSnapshotNumChildren',
    (call, domain, snapshot, flags) => void call.reply.i32(momentsBelow(SNAPSHOTS, domain, snapshot, flags).length)
  ),
  [REMOTE.domainSnapshotListChildrenNames]: call => {
    const ref = readSnapshot(call.args)
    const most = readRoom(call.args, 'maxnames', 'REMOTE_DOMAIN_SNAPSHOT_LIST_MAX')
    const flags = call.args.u32()
    checkFlags(flags, ALL_LIST, 'testDomainSnapshotListChildrenNames')
    const domain = call.hypervisor.domain(ref.domain)
    listNames(call, momentsBelow(SNAPSHOTS, domain, domain.snapshots.get(ref.name), flags), most)
  },
  [REMOTE.domainSnapshotGetXmlDesc]: onSnapshot(
    1,
    'testDomainSnapshotGetXMLDesc',
    ({ client, reply }, _domain, snapshot, flags) => {
      if (client.readOnly && flags & 1)
        throw denied('virDomainSnapshotGetXMLDesc with secure flag', DOMAIN.domainSnapshot)
      reply.string(describeSnapshot(snapshot))
    }
  ),
  [REMOTE.domainHasCurrentSnapshot]: onDomain(
    0,
    'testDomainHasCurrentSnapshot',
    (call, domain) => void call.reply.bool(domain.snapshots.current !== undefined)
  ),
  [REMOTE.domainSnapshotCurrent]: onDomain(0, 'testDomainSnapshotCurrent', (call, domain) => {
    const { current } = domain.snapshots
    if (!current) throw noSnapshot('the domain does not have a current snapshot')
    writeSnapshot(call.reply, momentRef(domain, current))
  }),
  [REMOTE.domainSnapshotIsCurrent]: onSnapshot(
    0,
    'testDomainSnapshotIsCurrent',
    (call, domain, snapshot) => void call.reply.bool(domain.snapshots.current === snapshot)
  ),
  [REMOTE.domainSnapshotHasMetadata]: onSnapshot(
    0,
    'testDomainSnapshotHasMetadata',
    call => void call.reply.bool(true)
  ),
  [REMOTE.domainSnapshotCreateXml]: create,
  [REMOTE.domainRevertToSnapshot]: onSnapshot(7, 'testDomainRevertToSnapshot', revert)
}
