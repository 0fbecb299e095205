import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { XdrWriter } from '../../../protocol/xdr.js'
import { ARCHITECTURES } from './architectures.js'
import { capabilities, domainCapabilities, MAX_VCPUS, SECURITY_MODEL, SYSINFO } from './capabilities.js'
import { CPU_MODELS } from './cpu-models.js'
import type { HandlerTable } from '../call.js'
import { badArgument, checkFlags, invalidArg } from '../failures.js'
import { readParamRoom, readRoom, readString, writeList, writeString } from '../wire.js'

const MODEL_CHARACTERS = 32
const MAX_STATS = 16
const MAX_CELLS = 1024
const MAX_PAGE_SIZES = 1024

/** NODE_GET_CPU_STATS in nanoseconds; the figures mean nothing and never change. */
const CPU_STATS: readonly (readonly [string, bigint])[] = [
  ['user', 9_797_400_000n],
  ['kernel', 34_678_723_400_000n],
  ['idle', 87_264_900_000n],
  ['iowait', 763_600_000n]
]
/** CPUs that are online: numbers 0, 2 and 4 of 8. */
const CPU_MAP = Buffer.from([0x15])
const CPU_MAP_CPUS = 8
const ONLINE = 3

/** A C array of characters of fixed size: a word each. */
function writeFixedChars(reply: XdrWriter, text: string, characters: number): void {
  const bytes = Buffer.alloc(characters)
  bytes.write(text.slice(0, characters - 1))
  for (const byte of bytes) reply.i32(byte)
}

const notPositive = (argument: string, api: string): Error =>
  badArgument(`${argument} in ${api} must be greater than zero`, api, argument, DOMAIN.domain)

const cString = (text: string): Buffer => Buffer.from(`${text}\0`)

/** The pretended host. */
export const nodeHandlers: HandlerTable = {
  [REMOTE.connectGetMaxVcpus]: ({ args, reply }) => {
    args.optional(readString)
    reply.i32(MAX_VCPUS)
  },
  [REMOTE.connectGetCapabilities]: ({ hypervisor, reply }) => void reply.string(capabilities(hypervisor)),
  [REMOTE.connectGetSysinfo]: ({ args, reply }) => {
    checkFlags(args.u32(), 0, 'testConnectGetSysinfo')
    reply.string(SYSINFO)
  },
  [REMOTE.connectGetDomainCapabilities]: ({ args, reply }) => {
    for (let i = 0; i < 4; i++) args.optional(readString)
    checkFlags(args.u32(), 0, 'testConnectGetDomainCapabilities')
    reply.string(domainCapabilities())
  },
  [REMOTE.connectGetCpuModelNames]: ({ args, reply }) => {
    const arch = args.string()
    const wanted = args.i32() !== 0
    checkFlags(args.u32(), 0, 'testConnectGetCPUModelNames')
    if (!ARCHITECTURES.has(arch)) throw invalidArg(`cannot find architecture ${arch}`)
    writeList(reply, CPU_MODELS[arch] ?? [], wanted, writeString)
  },
  [REMOTE.nodeGetInfo]: ({ hypervisor, reply }) => {
    const { model, memory, cpus, mhz, nodes, sockets, cores, threads } = hypervisor.node
    writeFixedChars(reply, model, MODEL_CHARACTERS)
    reply.u64(memory).i32(cpus).i32(mhz).i32(nodes).i32(sockets).i32(cores).i32(threads)
  },
  [REMOTE.nodeGetCpuStats]: ({ args, reply }) => {
    args.i32()
    const room = readParamRoom(args, MAX_STATS)
    checkFlags(args.u32(), 0, 'testNodeGetCPUStats')
    const stats = CPU_STATS.slice(0, room)
    reply.array(stats, (xdr, [field, value]) => void xdr.string(field).u64(value))
    reply.i32(room === 0 ? CPU_STATS.length : 0)
  },
  [REMOTE.nodeGetCellsFreeMemory]: ({ hypervisor, args, reply }) => {
    const start = args.i32()
    const most = readRoom(args, 'maxcells', 'REMOTE_NODE_MAX_CELLS', MAX_CELLS)
    if (most === 0) throw notPositive('maxCells', 'virNodeGetCellsFreeMemory')
    if (start >= hypervisor.cells.length) throw invalidArg('Range exceeds available cells')
    const cells = hypervisor.cells.slice(start, start + most)
    reply.array(cells, (xdr, cell) => void xdr.u64(cell.memory))
  },
  [REMOTE.nodeGetFreeMemory]: ({ hypervisor, reply }) =>
    void reply.u64(hypervisor.cells.reduce((sum, cell) => sum + cell.free, 0n)),
  [REMOTE.nodeGetFreePages]: ({ args, reply }) => {
    const sizes = args.array(MAX_PAGE_SIZES, xdr => xdr.u32())
    args.i32()
    const cells = args.u32()
    checkFlags(args.u32(), 0, 'testNodeGetFreePages')
    const counts: bigint[] = []
    // Each count follows from the one before: 19, 45, 97, …
    for (let last = 6n; counts.length < Math.min(sizes.length * cells, MAX_PAGE_SIZES); counts.push(last))
      last = last * 2n + 7n
    reply.array(counts, (xdr, count) => void xdr.u64(count))
  },
  [REMOTE.nodeGetCpuMap]: ({ args, reply }) => {
    const [needMap, needOnline] = [args.i32() !== 0, args.i32() !== 0]
    checkFlags(args.u32(), 0, 'testNodeGetCPUMap')
    reply
      .opaque(needMap ? CPU_MAP : Buffer.alloc(0))
      .u32(needOnline ? ONLINE : 0)
      .i32(CPU_MAP_CPUS)
  },
  [REMOTE.nodeGetSecurityModel]: ({ reply }) => void reply.chars(cString(SECURITY_MODEL)).chars(cString(''))
}
