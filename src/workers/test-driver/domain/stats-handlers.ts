import { isIPv6 } from 'node:net'
import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import { intParam, type TypedParam, ullongParam, writeParams } from '../../../protocol/typed-params.js'
import type { Call, HandlerTable } from '../call.js'
import {
  argumentUnsupported,
  badArgument,
  checkFlags,
  internal,
  invalidArg,
  operationUnsupported
} from '../failures.js'
import type { Hypervisor } from '../hypervisor.js'
import { STRING_OKAY } from '../typed-checks.js'
import { MAX_LIST, readDomain, readParamRoom, writeDomain } from '../wire.js'
import { attribute, childrenNamed, find, type XmlElement } from '../xml/xml.js'
import type { Definition } from './definition.js'
import { fitsFilter } from './filters.js'

const STATS = { state: 1 } as const
const ENFORCE = 0x80000000
/** The filters that say which domains to report: the low eight bits of those that list. */
const STATS_FILTERS = 0xff
const MAX_MEMORY_STATS = 1024
const MAX_DISK_ERRORS = 256
/** Parameters a CPU, CPUs, and their product at most. */
const MAX_CPU_ROOM = 16
const MAX_CPUS = 128
const MAX_CPU_PARAMS = 2048
/** Nanoseconds that every test domain has used, and their parts. */
const CPU_TIME = 48_772_617_035n
const USER_TIME = 5_540_000_000n
const SYSTEM_TIME = 6_460_000_000n
const VCPU_LAG = 1_234_567_890n
/** Block info in bytes: the same for every disk. */
const BLOCK = { allocation: 1_099_511_627_776n, capacity: 1_099_506_450_432n, physical: 1_099_511_627_776n } as const
/** Seconds since 1970 of the guest's last report. */
const LAST_REPORT = 627_319_920n

/** Counters that mean nothing but grow: fractions of the clock, in microseconds. */
const clock = (): bigint => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000))

const disksOf = (definition: Definition): XmlElement[] => childrenNamed(find(definition.tree, 'devices'), 'disk')
const interfacesOf = (definition: Definition): XmlElement[] =>
  childrenNamed(find(definition.tree, 'devices'), 'interface')

/** By device name, or, if it is a path, by what the disk is made of. */
export function findDisk(definition: Definition, path: string): XmlElement | undefined {
  return disksOf(definition).find(disk => {
    const source = find(disk, 'source')
    const made = attribute(source, 'file') ?? attribute(source, 'dev')
    return attribute(find(disk, 'target'), 'dev') === path || (path.startsWith('/') && made === path)
  })
}

/** By device name or MAC address; throws libvirt's error. */
export function findInterface(definition: Definition, device: string): XmlElement {
  const found = interfacesOf(definition).find(
    iface =>
      attribute(find(iface, 'target'), 'dev') === device ||
      attribute(find(iface, 'mac'), 'address') === device.toLowerCase()
  )
  if (!found) throw invalidArg(`'${device}' is not a known interface`, DOMAIN.domain)
  return found
}

function allDomainStats({ hypervisor, args, reply }: Call): void {
  const refs = args.array(MAX_LIST, readDomain)
  const [stats, flags] = [args.u32(), args.u32()]
  checkFlags(flags, (STATS_FILTERS | ENFORCE) >>> 0, 'testConnectGetAllDomainStats')
  const other = (stats & ~STATS.state) >>> 0
  if (flags & ENFORCE && other)
    throw argumentUnsupported(`Stats types bits 0x${other.toString(16)} are not supported by this daemon`)
  const chosen =
    refs.length > 0
      ? refs.map(ref => hypervisor.domains.get(ref.uuid.toString('hex'))).filter(domain => domain !== undefined)
      : [...hypervisor.domains.values()]
  const records = chosen.filter(domain => fitsFilter(domain, flags & STATS_FILTERS))
  reply.array(records, (xdr, domain) => {
    writeDomain(xdr, domain.ref())
    const wanted = stats === 0 || stats & STATS.state
    writeParams(xdr, wanted ? [intParam('state.state', domain.state), intParam('state.reason', domain.reason)] : [])
  })
}

function cpuStats({ hypervisor, args, reply }: Call): void {
  const ref = readDomain(args)
  const room = readParamRoom(args, MAX_CPU_ROOM)
  const start = args.i32()
  const cpus = readParamRoom(args, MAX_CPUS, 'ncpus')
  const flags = args.u32()
  checkFlags(flags, STRING_OKAY, 'testDomainGetCPUStats')
  hypervisor.domain(ref).requireActive()
  const total = hypervisor.node.cores
  let params: TypedParam[] = []
  let answer: number
  if (start === -1) {
    const all = [
      ullongParam('cpu_time', CPU_TIME),
      ullongParam('user_time', USER_TIME),
      ullongParam('system_time', SYSTEM_TIME)
    ]
    params = all.slice(0, room)
    answer = room === 0 ? all.length : params.length
  } else if (cpus === 0) answer = total
  else if (room === 0) answer = 2
  else {
    if (start >= total) throw invalidArg(`start_cpu ${start} larger than maximum of ${total - 1}`)
    answer = Math.min(room, 2)
    const each = CPU_TIME / BigInt(total)
    for (let cpu = start; cpu < Math.min(total, start + cpus); cpu++) {
      const time = each + BigInt(cpu)
      params.push(...[ullongParam('cpu_time', time), ullongParam('vcpu_time', time - VCPU_LAG)].slice(0, answer))
    }
  }
  writeParams(reply, params.slice(0, MAX_CPU_PARAMS)).i32(answer)
}

/** In libvirt's order; the balloon is what knows. */
function memoryStats(definition: Definition): [tag: number, value: bigint][] {
  if (!definition.hasBalloon) return []
  const current = definition.currentMemory
  return [
    [6, current],
    [0, 0n],
    [1, 0n],
    [2, 0n],
    [3, 0n],
    [4, current / 2n],
    [5, current],
    [8, current / 2n],
    [9, LAST_REPORT],
    [10, current / 8n],
    [11, 0n],
    [12, 0n],
    [7, current / 2n]
  ]
}

/** An address made from the network's first free one, different for each interface and domain. */
function addressOf(
  hypervisor: Hypervisor,
  iface: XmlElement,
  offset: number,
  index: number
): [type: number, address: string, prefix: number] {
  const name = attribute(iface, 'type') === 'network' ? attribute(find(iface, 'source'), 'network') : undefined
  if (name === undefined) return [0, `192.168.0.${1 + index}`, 24]
  const ip = find(hypervisor.networks.byName(name).definition, 'ip')
  const first = attribute(find(ip, 'dhcp', 'range'), 'start') ?? attribute(ip, 'address') ?? '0.0.0.0'
  const netmask = attribute(ip, 'netmask')
  const bits = (text: string): number =>
    text.split('.').reduce((sum, part) => sum + Number(part).toString(2).replaceAll('0', '').length, 0)
  const prefix = netmask === undefined ? Number(attribute(ip, 'prefix') ?? 24) : bits(netmask)
  if (isIPv6(first))
    return [1, first.replace(/[0-9a-f]*$/, last => (parseInt(last || '0', 16) + offset).toString(16)), prefix]
  const number = first.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) + offset
  return [0, [24, 16, 8, 0].map(shift => (number >>> shift) & 255).join('.'), prefix]
}

function interfaceAddresses({ hypervisor, args, reply }: Call): void {
  const ref = readDomain(args)
  const [source, flags] = [args.u32(), args.u32()]
  checkFlags(flags, 0, 'testDomainInterfaceAddresses')
  if (source > 2) throw argumentUnsupported(`Unknown IP address data source ${source}`)
  const domain = hypervisor.domain(ref)
  domain.requireActive()
  const rows = interfacesOf(domain.definition).map((iface, index) => ({
    name: attribute(find(iface, 'target'), 'dev') ?? '',
    mac: attribute(find(iface, 'mac'), 'address'),
    address: addressOf(hypervisor, iface, 20 * (domain.id - 1) + index + 1, index)
  }))
  reply.array(rows, (xdr, { name, mac, address: [type, text, prefix] }) => {
    xdr
      .string(name)
      .optional(mac, (to, value) => void to.string(value))
      .u32(1)
      .i32(type)
      .string(text)
      .u32(prefix)
  })
}

export const domainStatsHandlers: HandlerTable = {
  [REMOTE.connectGetAllDomainStats]: allDomainStats,
  [REMOTE.domainBlockStats]: call => {
    const ref = readDomain(call.args)
    const text = call.args.string()
    if (text === '') throw operationUnsupported('summary statistics are not supported yet')
    const domain = call.hypervisor.domain(ref)
    domain.requireActive()
    if (!findDisk(domain.definition, text)) throw invalidArg(`invalid path: ${text}`)
    const now = clock()
    call.reply
      .i64(now / 10n)
      .i64(now / 20n)
      .i64(now / 30n)
      .i64(now / 40n)
      .i64(now / 2_000_000n)
  },
  [REMOTE.domainGetBlockInfo]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const path = args.string()
    if (path === '')
      throw badArgument(
        'string disk in virDomainGetBlockInfo must not be empty',
        'virDomainGetBlockInfo',
        'disk',
        DOMAIN.domain
      )
    checkFlags(args.u32(), 0, 'testDomainGetBlockInfo')
    const disk = findDisk(hypervisor.domain(ref).definition, path)
    if (!disk) throw invalidArg(`invalid path ${path} not assigned to domain`)
    if (!find(disk, 'source')) throw invalidArg(`disk '${path}' does not currently have a source assigned`)
    reply.u64(BLOCK.allocation).u64(BLOCK.capacity).u64(BLOCK.physical)
  },
  [REMOTE.domainInterfaceStats]: call => {
    const ref = readDomain(call.args)
    const text = call.args.string()
    const domain = call.hypervisor.domain(ref)
    domain.requireActive()
    findInterface(domain.definition, text)
    const now = clock()
    for (const part of [10n, 100n, 1_000_000n, 2_000_000n, 20n, 110n, 3_000_000n, 4_000_000n])
      call.reply.i64(now / part)
  },
  [REMOTE.domainMemoryStats]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const most = args.u32()
    if (most > MAX_MEMORY_STATS) throw internal('maxStats > REMOTE_DOMAIN_MEMORY_STATS_MAX', DOMAIN.rpc)
    checkFlags(args.u32(), 0, 'testDomainMemoryStats')
    const domain = hypervisor.domain(ref)
    domain.requireActive()
    const stats = memoryStats(domain.definition).slice(0, most)
    reply.array(stats, (xdr, [tag, value]) => void xdr.i32(tag).u64(value))
  },
  [REMOTE.domainGetCpuStats]: cpuStats,
  [REMOTE.domainGetDiskErrors]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const most = readParamRoom(args, MAX_DISK_ERRORS, 'maxerrors')
    checkFlags(args.u32(), 0, 'testDomainGetDiskErrors')
    const domain = hypervisor.domain(ref)
    domain.requireActive()
    const names = disksOf(domain.definition).map(disk => attribute(find(disk, 'target'), 'dev') ?? '')
    const told = names.slice(0, most)
    // Errors take turns: unspecified (1), no space (2).
    reply.array(told, (xdr, name) => void xdr.string(name).i32((told.indexOf(name) % 2) + 1))
    reply.i32(most === 0 ? names.length : told.length)
  },
  [REMOTE.domainInterfaceAddresses]: interfaceAddresses
}
