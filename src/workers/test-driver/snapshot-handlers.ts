import { DOMAIN } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'
import type { Call, Handler, HandlerTable } from './call.js'
import { perform } from './domain-life.js'
import { EVENT, PAUSED, RUNNING, STARTED, STATE, STOPPED, SHUTOFF, SUSPENDED } from './domain-states.js'
import type { Domain } from './domain.js'
import {
  checkFlags,
  denied,
  invalid,
  noSnapshot,
  operationFailed,
  operationUnsupported,
  riskyRevert
} from './failures.js'
import type { Hypervisor } from './hypervisor.js'
import { DELETE, onMoment } from './moments.js'
import { alignDisks, describeSnapshot, parseSnapshot } from './snapshot-xml.js'
import type { Snapshot } from './snapshots.js'
import { readDomain, readRoom, readSnapshot, writeList, writeSnapshot, writeString, type DomainRef } from './wire.js'
import { element, parseXml } from './xml.js'

const LIST = {
  roots: 1,
  descendants: 1,
  metadata: 2,
  leaves: 4,
  noLeaves: 8,
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

/** Keeps those that the flags ask for; bits of one group are alternatives. */
function filtered(domain: Domain, snapshots: Snapshot[], flags: number): Snapshot[] {
  const wants = (group: number, flag: number): boolean => !(flags & group) || (flags & flag) !== 0
  return snapshots.filter(snapshot => {
    const leaf = domain.snapshots.children(snapshot).length === 0
    const states = LIST.inactive | LIST.active | LIST.diskOnly
    const state =
      snapshot.state === 'disk-snapshot' ? LIST.diskOnly : snapshot.state === 'shutoff' ? LIST.inactive : LIST.active
    return (
      wants(LIST.metadata | LIST.noMetadata, LIST.metadata) &&
      wants(LIST.leaves | LIST.noLeaves, leaf ? LIST.leaves : LIST.noLeaves) &&
      wants(states, state) &&
      wants(LIST.internal | LIST.external, LIST.internal)
    )
  })
}

function ofDomain(domain: Domain, flags: number): Snapshot[] {
  const { snapshots } = domain
  const found =
    flags & LIST.roots
      ? snapshots.children(undefined)
      : flags & LIST.topological
        ? snapshots.descendants(undefined)
        : snapshots.all
  return filtered(domain, found, flags)
}

function below(domain: Domain, of: Snapshot, flags: number): Snapshot[] {
  const found = flags & LIST.descendants ? domain.snapshots.descendants(of) : domain.snapshots.children(of)
  return filtered(domain, found, flags)
}

const onSnapshot = onMoment(domain => domain.snapshots)

/** A call on a domain, with flags after it. */
const onDomain =
  (allowed: number, cFunction: string, act: (call: Call, domain: Domain, flags: number) => void): Handler =>
  call => {
    const ref = readDomain(call.args)
    const flags = call.args.u32()
    checkFlags(flags, allowed, cFunction)
    act(call, call.hypervisor.domain(ref), flags)
  }

const refOf = (domain: Domain, snapshot: Snapshot): { name: string; domain: DomainRef } => ({
  name: snapshot.name,
  domain: domain.ref()
})

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
  writeSnapshot(reply, refOf(domain, snapshot))
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
  [REMOTE.domainSnapshotNum]: onDomain(
    ALL_LIST,
    'testDomainSnapshotNum',
    (call, domain, flags) => void call.reply.i32(ofDomain(domain, flags).length)
  ),
  [REMOTE.domainSnapshotListNames]: call => {
    const ref = readDomain(call.args)
    const most = readRoom(call.args, 'maxnames', 'REMOTE_DOMAIN_SNAPSHOT_LIST_MAX')
    const flags = call.args.u32()
    checkFlags(flags, ALL_LIST, 'testDomainSnapshotListNames')
    listNames(call, ofDomain(call.hypervisor.domain(ref), flags), most)
  },
  [REMOTE.domainListAllSnapshots]: call => {
    const ref = readDomain(call.args)
    const [wanted, flags] = [call.args.i32() !== 0, call.args.u32()]
    checkFlags(flags, ALL_LIST, 'testDomainListAllSnapshots')
    const domain = call.hypervisor.domain(ref)
    writeList(
      call.reply,
      ofDomain(domain, flags).map(one => refOf(domain, one)),
      wanted,
      writeSnapshot
    )
  },
  [REMOTE.domainSnapshotNumChildren]: onSnapshot(
    ALL_LIST,
    'testDomainSnapshotNumChildren',
    (call, domain, snapshot, flags) => void call.reply.i32(below(domain, snapshot, flags).length)
  ),
  [REMOTE.domainSnapshotListChildrenNames]: call => {
    const ref = readSnapshot(call.args)
    const most = readRoom(call.args, 'maxnames', 'REMOTE_DOMAIN_SNAPSHOT_LIST_MAX')
    const flags = call.args.u32()
    checkFlags(flags, ALL_LIST, 'testDomainSnapshotListChildrenNames')
    const domain = call.hypervisor.domain(ref.domain)
    listNames(call, below(domain, domain.snapshots.get(ref.name), flags), most)
  },
  [REMOTE.domainSnapshotListAllChildren]: call => {
    const ref = readSnapshot(call.args)
    const [wanted, flags] = [call.args.i32() !== 0, call.args.u32()]
    checkFlags(flags, ALL_LIST, 'testDomainSnapshotListAllChildren')
    const domain = call.hypervisor.domain(ref.domain)
    const found = below(domain, domain.snapshots.get(ref.name), flags)
    writeList(
      call.reply,
      found.map(one => refOf(domain, one)),
      wanted,
      writeSnapshot
    )
  },
  [REMOTE.domainSnapshotLookupByName]: call => {
    const ref = readDomain(call.args)
    const name = call.args.string()
    checkFlags(call.args.u32(), 0, 'testDomainSnapshotLookupByName')
    const domain = call.hypervisor.domain(ref)
    writeSnapshot(call.reply, refOf(domain, domain.snapshots.get(name)))
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
    writeSnapshot(call.reply, refOf(domain, current))
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
  [REMOTE.domainSnapshotGetParent]: onSnapshot(0, 'testDomainSnapshotGetParent', (call, domain, snapshot) => {
    if (snapshot.parent === undefined) throw noSnapshot(`snapshot '${snapshot.name}' does not have a parent`)
    writeSnapshot(call.reply, { name: snapshot.parent, domain: domain.ref() })
  }),
  [REMOTE.domainSnapshotCreateXml]: create,
  [REMOTE.domainRevertToSnapshot]: onSnapshot(7, 'testDomainRevertToSnapshot', revert),
  [REMOTE.domainSnapshotDelete]: onSnapshot(
    DELETE.children | DELETE.childrenOnly,
    'testDomainSnapshotDelete',
    (_call, { snapshots }, snapshot, flags) => snapshots.delete(snapshot, flags)
  )
}
