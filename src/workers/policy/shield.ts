import { KIND } from '../../protocol/call-kinds.js'
import { internalError, RemoteError, undecodable } from '../../protocol/errors.js'
import { PROGRAM } from '../../protocol/header.js'
import { REMOTE } from '../../protocol/procedures.js'
import { readParamRoom, readRoom } from '../../protocol/rooms.js'
import type { XdrReader } from '../../protocol/xdr.js'
import { decodeArguments } from './arguments.js'
import type { Finding, Restriction } from './verdicts.js'

/** What is wrong with the counts in a call's arguments, if anything; may throw it. `xdr` stands at the first count. */
type Check = (xdr: XdrReader) => Finding

const REMOTE_NODE_MAX_CELLS = 1024
const REMOTE_VCPUINFO_MAX = 16384
const REMOTE_CPUMAPS_MAX = 8_388_608

/** The most entries of a list that the client wants: `what` are names, ids, … The words are libvirt's, here and below. */
const list = (what: string, most: number, constant: string, ofNone?: Buffer): Check => xdr =>
  readRoom(xdr, `max${what}`, constant, most) === 0 ? ofNone : undefined

/** Who asks for no interfaces gets none, without a question to the daemon. */
const interfaces = list('names', 16384, 'REMOTE_INTERFACE_LIST_MAX', Buffer.alloc(4))

/** Room for typed parameters in the reply. */
const params = (most: number): Check => xdr => void readParamRoom(xdr, most)

const memoryStats: Check = xdr =>
  xdr.u32() > 1024 ? internalError('maxStats > REMOTE_DOMAIN_MEMORY_STATS_MAX') : undefined

/** A map of some bytes for each of some processors; what libvirt calls the two when they are negative. */
const cpuMaps = (what: string, bytes: string): Check => xdr => {
  const [count, length] = [xdr.i32(), xdr.i32()]
  if (count < 0) return internalError(`${what} must be non-negative`)
  if (length < 0) return internalError(`${bytes} must be non-negative`)
  if (count > REMOTE_VCPUINFO_MAX) return internalError(`${what} > REMOTE_VCPUINFO_MAX`)
  return count * length > REMOTE_CPUMAPS_MAX ? internalError('maxinfo * maplen > REMOTE_CPUMAPS_MAX') : undefined
}

const cpuMap: Check = xdr => {
  const length = xdr.i32()
  if (length < 0) return internalError('maplen must be non-negative')
  return length > REMOTE_CPUMAPS_MAX ? internalError('maplen > REMOTE_CPUMAPS_MAX') : undefined
}

/** A figure for each size of pages in each cell. */
const freePages: Check = xdr => {
  const sizes = xdr.array(REMOTE_NODE_MAX_CELLS, x => x.u32()).length
  xdr.i32()
  const cells = xdr.u32()
  if (sizes * cells <= REMOTE_NODE_MAX_CELLS) return undefined
  return internalError(`npages * cellcount > REMOTE_NODE_MAX_CELLS (${REMOTE_NODE_MAX_CELLS})`)
}

/** As many counts as sizes. */
const allocPages: Check = xdr => {
  const sizes = xdr.array(REMOTE_NODE_MAX_CELLS, x => x.u32()).length
  const counts = xdr.array(REMOTE_NODE_MAX_CELLS, x => x.u64()).length
  return sizes === counts ? undefined : internalError('npages must be the number of page sizes and of page counts')
}

/** `before`: what stands before the counts, see `decodeArguments`. */
type Row = readonly [proc: number, before: string, check: Check]

/** The counts that are checked here, so that a daemon which does not check them, or not all of them, never sees them. */
export const SHIELD: readonly Row[] = [
  [REMOTE.connectListDomains, '', list('ids', 16384, 'REMOTE_DOMAIN_LIST_MAX')],
  [REMOTE.connectListDefinedDomains, '', list('names', 16384, 'REMOTE_DOMAIN_LIST_MAX')],
  [REMOTE.connectListNetworks, '', list('names', 16384, 'REMOTE_NETWORK_LIST_MAX')],
  [REMOTE.connectListDefinedNetworks, '', list('names', 16384, 'REMOTE_NETWORK_LIST_MAX')],
  [REMOTE.connectListNwfilters, '', list('names', 16384, 'REMOTE_NWFILTER_LIST_MAX')],
  [REMOTE.connectListInterfaces, '', interfaces],
  [REMOTE.connectListDefinedInterfaces, '', interfaces],
  [REMOTE.connectListStoragePools, '', list('names', 16384, 'REMOTE_STORAGE_POOL_LIST_MAX')],
  [REMOTE.connectListDefinedStoragePools, '', list('names', 16384, 'REMOTE_STORAGE_POOL_LIST_MAX')],
  [REMOTE.storagePoolListVolumes, 'N', list('names', 16384, 'REMOTE_STORAGE_VOL_LIST_MAX')],
  [REMOTE.nodeListDevices, 'o', list('names', 65536, 'REMOTE_NODE_DEVICE_LIST_MAX')],
  [REMOTE.nodeDeviceListCaps, 's', list('names', 65536, 'REMOTE_NODE_DEVICE_CAPS_LIST_MAX')],
  [REMOTE.connectListSecrets, '', list('uuids', 16384, 'REMOTE_SECRET_LIST_MAX')],
  [REMOTE.domainSnapshotListNames, 'D', list('names', 16384, 'REMOTE_DOMAIN_SNAPSHOT_LIST_MAX')],
  [REMOTE.domainSnapshotListChildrenNames, 'sD', list('names', 16384, 'REMOTE_DOMAIN_SNAPSHOT_LIST_MAX')],
  [REMOTE.nodeGetCellsFreeMemory, 'u', list('cells', REMOTE_NODE_MAX_CELLS, 'REMOTE_NODE_MAX_CELLS')],
  [REMOTE.domainGetSchedulerParameters, 'D', params(16)],
  [REMOTE.domainGetSchedulerParametersFlags, 'D', params(16)],
  [REMOTE.domainBlockStatsFlags, 'Ds', params(16)],
  [REMOTE.domainGetMemoryParameters, 'D', params(16)],
  [REMOTE.domainGetNumaParameters, 'D', params(16)],
  [REMOTE.domainGetBlkioParameters, 'D', params(16)],
  [REMOTE.domainGetBlockIoTune, 'Do', params(32)],
  [REMOTE.domainGetInterfaceParameters, 'Ds', params(16)],
  [REMOTE.nodeGetCpuStats, 'u', params(16)],
  [REMOTE.nodeGetMemoryStats, '', params(16)],
  [REMOTE.nodeGetMemoryParameters, '', params(64)],
  [REMOTE.domainMemoryStats, 'D', memoryStats],
  [REMOTE.domainGetVcpus, 'D', cpuMaps('maxinfo', 'maxinfo')],
  [REMOTE.domainGetVcpuPinInfo, 'D', cpuMaps('ncpumaps', 'maplen')],
  [REMOTE.domainGetEmulatorPinInfo, 'D', cpuMap],
  [REMOTE.nodeGetFreePages, '', freePages],
  [REMOTE.nodeAllocPages, '', allocPages]
]

const ROWS = new Map(SHIELD.map(([proc, before, check]) => [proc, { before, check }]))

function checked(check: Check, xdr: XdrReader): Finding {
  try {
    return check(xdr)
  } catch (error) {
    if (error instanceof RemoteError) return error
    throw error
  }
}

/** For every client, unless the configuration says otherwise. */
export const SHIELDED: Restriction = {
  of({ program, number }) {
    const row = program === PROGRAM.remote ? ROWS.get(number) : undefined
    if (row === undefined) return undefined
    // What the check finds is kept in a list, because it may find nothing.
    return body => {
      const found = decodeArguments(body, row.before, xdr => [checked(row.check, xdr)])
      return found === undefined ? undecodable() : found[0]
    }
  },
  inspected: KIND.inspected | KIND.brief
}
