import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'

/** A call with a count in its arguments that goes no further, or that does if `says` is undefined. */
export interface CountedCall {
  proc: number
  body: Buffer
  /** Text of the error, or that there is nothing in the list. */
  says: string | undefined
}

const EMPTY = 'an empty list'
const words = (xdr: XdrWriter, ...values: number[]): XdrWriter => values.reduce((written, value) => written.u32(value), xdr)
const args = (): XdrWriter => new XdrWriter()
const domain = (): XdrWriter => args().string('test').fixed(Buffer.alloc(16, 7)).i32(-1)
const pool = (): XdrWriter => args().string('pool').fixed(Buffer.alloc(16, 7))
const snapshot = (): XdrWriter => args().string('snapshot').string('test').fixed(Buffer.alloc(16, 7)).i32(-1)
const device = (): XdrWriter => domain().string('vda')
const optional = (xdr: XdrWriter, text: string): XdrWriter => xdr.u32(1).string(text)
const LEAST = 0x80000000

/** Calls of one procedure: the counts that follow what `before` writes, and what is said to them. More may follow. */
function calls(proc: number, before: () => XdrWriter, ...cases: [counts: number[], says?: string][]): CountedCall[] {
  return cases.map(([counts, says]) => ({ proc, body: words(before(), ...counts, 0, 0).finish(), says }))
}

const list = (proc: number, before: () => XdrWriter, what: string, most: number, constant: string): CountedCall[] =>
  calls(
    proc, before,
    [[LEAST], `max${what} must be non-negative`], [[0xffffffff], `max${what} must be non-negative`],
    [[most + 1], `max${what} > ${constant}`], [[most]], [[1]]
  )

const params = (proc: number, before: () => XdrWriter, most: number): CountedCall[] =>
  calls(
    proc, before,
    [[LEAST], 'internal error: nparams must be non-negative'], [[0xffffffff], 'internal error: nparams must be non-negative'],
    [[most + 1], 'internal error: nparams too large'], [[most]], [[0]]
  )

const negative = (what: string): string => `internal error: ${what} must be non-negative`
const MAPS = 'internal error: maxinfo * maplen > REMOTE_CPUMAPS_MAX'
const PAGES = 'internal error: npages * cellcount > REMOTE_NODE_MAX_CELLS (1024)'
const cpuMaps = (proc: number, what: string, bytes: string): CountedCall[] =>
  calls(
    proc, domain,
    [[0xffffffff, 1], negative(what)], [[1, 0xffffffff], negative(bytes)],
    [[16385, 0], `internal error: ${what} > REMOTE_VCPUINFO_MAX`], [[16384, 513], MAPS],
    // In 32 bits they are 0.
    [[16384, 0x40000], MAPS], [[16384, 512]], [[1, 1]], [[0, 0]]
  )

function freePages(pages: number, cells: number, says?: string): CountedCall {
  const body = words(args().array(Array<number>(pages).fill(4), (xdr, size) => xdr.u32(size)), 0, cells, 0).finish()
  return { proc: REMOTE.nodeGetFreePages, body, says }
}

function allocPages(sizes: number, counts: number, says?: string): CountedCall {
  const pages = args().array(Array<number>(sizes).fill(4), (xdr, size) => xdr.u32(size))
  const body = words(pages.array(Array<bigint>(counts).fill(1n), (xdr, count) => xdr.u64(count)), 0, 1, 0).finish()
  return { proc: REMOTE.nodeAllocPages, body, says }
}

const UNEQUAL = 'internal error: npages must be the number of page sizes and of page counts'

/** For every procedure whose counts the broker checks. */
export const COUNTED_CALLS: readonly CountedCall[] = [
  ...list(REMOTE.connectListDomains, args, 'ids', 16384, 'REMOTE_DOMAIN_LIST_MAX'),
  ...list(REMOTE.connectListDefinedDomains, args, 'names', 16384, 'REMOTE_DOMAIN_LIST_MAX'),
  ...list(REMOTE.connectListNetworks, args, 'names', 16384, 'REMOTE_NETWORK_LIST_MAX'),
  ...list(REMOTE.connectListDefinedNetworks, args, 'names', 16384, 'REMOTE_NETWORK_LIST_MAX'),
  ...list(REMOTE.connectListNwfilters, args, 'names', 16384, 'REMOTE_NWFILTER_LIST_MAX'),
  ...list(REMOTE.connectListInterfaces, args, 'names', 16384, 'REMOTE_INTERFACE_LIST_MAX'),
  ...list(REMOTE.connectListDefinedInterfaces, args, 'names', 16384, 'REMOTE_INTERFACE_LIST_MAX'),
  ...calls(REMOTE.connectListInterfaces, args, [[0], EMPTY]),
  ...calls(REMOTE.connectListDefinedInterfaces, args, [[0], EMPTY]),
  ...list(REMOTE.connectListStoragePools, args, 'names', 16384, 'REMOTE_STORAGE_POOL_LIST_MAX'),
  ...list(REMOTE.connectListDefinedStoragePools, args, 'names', 16384, 'REMOTE_STORAGE_POOL_LIST_MAX'),
  ...list(REMOTE.storagePoolListVolumes, pool, 'names', 16384, 'REMOTE_STORAGE_VOL_LIST_MAX'),
  ...list(REMOTE.nodeListDevices, () => args().u32(0), 'names', 65536, 'REMOTE_NODE_DEVICE_LIST_MAX'),
  ...list(REMOTE.nodeListDevices, () => optional(args(), 'net'), 'names', 65536, 'REMOTE_NODE_DEVICE_LIST_MAX'),
  ...list(REMOTE.nodeDeviceListCaps, () => args().string('pci'), 'names', 65536, 'REMOTE_NODE_DEVICE_CAPS_LIST_MAX'),
  ...list(REMOTE.connectListSecrets, args, 'uuids', 16384, 'REMOTE_SECRET_LIST_MAX'),
  ...list(REMOTE.domainSnapshotListNames, domain, 'names', 16384, 'REMOTE_DOMAIN_SNAPSHOT_LIST_MAX'),
  ...list(REMOTE.domainSnapshotListChildrenNames, snapshot, 'names', 16384, 'REMOTE_DOMAIN_SNAPSHOT_LIST_MAX'),
  ...list(REMOTE.nodeGetCellsFreeMemory, () => args().i32(0), 'cells', 1024, 'REMOTE_NODE_MAX_CELLS'),
  ...params(REMOTE.domainGetSchedulerParameters, domain, 16),
  ...params(REMOTE.domainGetSchedulerParametersFlags, domain, 16),
  ...params(REMOTE.domainBlockStatsFlags, device, 16),
  ...params(REMOTE.domainGetMemoryParameters, domain, 16),
  ...params(REMOTE.domainGetNumaParameters, domain, 16),
  ...params(REMOTE.domainGetBlkioParameters, domain, 16),
  ...params(REMOTE.domainGetBlockIoTune, () => domain().u32(0), 32),
  ...params(REMOTE.domainGetBlockIoTune, () => optional(domain(), 'vda'), 32),
  ...params(REMOTE.domainGetInterfaceParameters, device, 16),
  ...params(REMOTE.nodeGetCpuStats, () => args().i32(-1), 16),
  ...params(REMOTE.nodeGetMemoryStats, args, 16),
  ...params(REMOTE.nodeGetMemoryParameters, args, 64),
  ...calls(
    REMOTE.domainMemoryStats, domain,
    [[1025], 'internal error: maxStats > REMOTE_DOMAIN_MEMORY_STATS_MAX'],
    [[0xffffffff], 'internal error: maxStats > REMOTE_DOMAIN_MEMORY_STATS_MAX'], [[1024]], [[0]]
  ),
  ...cpuMaps(REMOTE.domainGetVcpus, 'maxinfo', 'maxinfo'),
  ...cpuMaps(REMOTE.domainGetVcpuPinInfo, 'ncpumaps', 'maplen'),
  ...calls(
    REMOTE.domainGetEmulatorPinInfo, domain,
    [[0xffffffff], negative('maplen')], [[8388609], 'internal error: maplen > REMOTE_CPUMAPS_MAX'], [[8388608]], [[0]]
  ),
  // In 32 bits it is 1019.
  freePages(1023, 4198405, PAGES),
  freePages(1024, 0xffffffff, PAGES), freePages(2, 513, PAGES), freePages(1, 0x80000000, PAGES),
  freePages(2, 512), freePages(1024, 1), freePages(1024, 0), freePages(0, 0xffffffff),
  freePages(1025, 1, 'Unable to decode message payload'),
  allocPages(2, 1, UNEQUAL), allocPages(1024, 0, UNEQUAL), allocPages(1, 2, UNEQUAL), allocPages(1, 1), allocPages(1024, 1024)
]

/** What `says` is to be compared with. */
export const said = (status: number, payload: Buffer, message: () => string): string =>
  status === 0 && payload.equals(Buffer.alloc(4)) ? EMPTY : status === 0 ? 'passed' : message()
