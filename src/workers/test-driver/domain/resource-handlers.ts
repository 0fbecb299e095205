import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { XdrReader } from '../../../protocol/xdr.js'
import type { Call, HandlerTable } from '../call.js'
import { checkFlags, internal, invalid, invalidArg } from '../failures.js'
import type { Hypervisor } from '../hypervisor.js'
import { MAX_VCPUS } from '../node/capabilities.js'
import { type DomainRef, MAX_LIST, readDomain } from '../wire.js'
import {
  attribute,
  childrenNamed,
  element,
  elements,
  find,
  insertBefore,
  setAttribute,
  type XmlElement
} from '../xml/xml.js'
import { firstCpus, formatCpus, parseCpus } from './cpuset.js'
import { AFFECT, type Definition } from './definition.js'
import { domainOf } from './on-domain.js'

// How many virtual CPUs and how much memory a domain has, and where its CPUs run.

const BOTH = AFFECT.live | AFFECT.config
const MAXIMUM = 4
const MAX_MAP = 2048
const MAX_MAPS = 8_388_608
const VCPU_RUNNING = 1
/** `VIR_DOMAIN_LIFECYCLE_*` and their actions. */
const LIFECYCLES = ['on_poweroff', 'on_reboot', 'on_crash'] as const
const ACTIONS = ['destroy', 'restart', 'rename-restart', 'preserve', 'coredump-destroy', 'coredump-restart']

function setMemory({ hypervisor }: Call, ref: DomainRef, memory: bigint, flags: number): void {
  checkFlags(flags, BOTH | MAXIMUM, 'testDomainSetMemoryFlags')
  const domain = hypervisor.domain(ref)
  const definition = domain.definitionFor(flags)
  if (flags & MAXIMUM) {
    if (domain.active && !(flags & AFFECT.config)) throw invalid('cannot resize the maximum memory on an active domain')
    definition.memory = memory
    if (definition.currentMemory > memory) definition.currentMemory = memory
  } else {
    if (memory > definition.memory) throw invalidArg('cannot set memory higher than max memory')
    definition.currentMemory = memory
  }
}

function setVcpus({ hypervisor }: Call, ref: DomainRef, count: number, flags: number): void {
  checkFlags(flags, BOTH | MAXIMUM, 'testDomainSetVcpusFlags')
  if (count > MAX_VCPUS)
    throw invalidArg(`requested cpu amount exceeds maximum supported amount (${count} > ${MAX_VCPUS})`)
  const { live, config } = hypervisor.domain(ref).definitionsFor(flags)
  const tooMany = (definition: Definition): Error =>
    invalidArg(`requested cpu amount exceeds maximum (${count} > ${definition.maxVcpus})`)
  if (live && live.maxVcpus < count) throw tooMany(live)
  if (config && !(flags & MAXIMUM) && config.maxVcpus < count) throw tooMany(config)
  if (live) live.vcpus = count
  if (config && flags & MAXIMUM) config.maxVcpus = count
  else if (config) config.vcpus = count
}

const hostCpus = ({ node }: Hypervisor): number => node.nodes * node.sockets * node.cores * node.threads

/** The map of one CPU: its own pins, else the whole domain's, else every CPU of the host. */
function pinsOf(hypervisor: Hypervisor, definition: Definition, vcpu: number, bytes: number): Buffer {
  const pins = childrenNamed(find(definition.tree, 'cputune'), 'vcpupin')
  const own = attribute(
    pins.find(pin => attribute(pin, 'vcpu') === String(vcpu)),
    'cpuset'
  )
  return mapOf(hypervisor, own ?? attribute(find(definition.tree, 'vcpu'), 'cpuset'), bytes)
}

function mapOf(hypervisor: Hypervisor, cpuset: string | undefined, bytes: number): Buffer {
  const all = firstCpus(hostCpus(hypervisor), bytes)
  return (cpuset === undefined ? undefined : parseCpus(cpuset, bytes)) ?? all
}

/** The host CPU that a CPU with these pins runs on: always the last one. */
function lastCpu(map: Buffer): number {
  for (let cpu = map.length * 8 - 1; cpu >= 0; cpu--) if (map[cpu >> 3]! & (1 << (cpu & 7))) return cpu
  return -1
}

function pinVcpu({ hypervisor }: Call, ref: DomainRef, vcpu: number, map: Buffer): void {
  const domain = hypervisor.domain(ref)
  if (!domain.active) throw invalid('cannot pin vcpus on an inactive domain')
  if (vcpu >= domain.definition.vcpus) throw invalidArg(`requested vcpu '${vcpu}' is not present in the domain`)
  const tune = domain.definition.section('cputune')
  const pin = childrenNamed(tune, 'vcpupin').find(one => attribute(one, 'vcpu') === String(vcpu))
  if (pin) return setAttribute(pin, 'cpuset', formatCpus(map))
  const next = elements(tune).find(one => one.name === 'vcpupin' && Number(attribute(one, 'vcpu')) > vcpu)
  insertBefore(
    tune,
    element('vcpupin', { vcpu: String(vcpu), cpuset: formatCpus(map) }),
    next ?? find(tune, 'emulatorpin')
  )
}

/** How many CPUs a caller has room for. */
function readVcpuRoom(args: XdrReader, name: string): number {
  const room = args.i32()
  if (room > MAX_LIST) throw internal(`${name} > REMOTE_VCPUINFO_MAX`, DOMAIN.rpc)
  return Math.max(0, room)
}

function listVcpus({ hypervisor, args, reply }: Call): void {
  const ref = readDomain(args)
  const room = readVcpuRoom(args, 'maxinfo')
  const bytes = args.i32()
  const domain = hypervisor.domain(ref)
  if (!domain.active) throw invalid('cannot list vcpus for an inactive domain')
  const count = Math.min(room, domain.definition.vcpus)
  const mapBytes = checkMaps(count, bytes)
  const time = BigInt(Date.now()) * 100n
  const cpus = Array.from({ length: count }, (_, number) => number)
  const wide = Math.ceil(hostCpus(hypervisor) / 8)
  reply.array(cpus, (xdr, number) => {
    xdr
      .u32(number)
      .i32(VCPU_RUNNING)
      .u64(time)
      .i32(lastCpu(pinsOf(hypervisor, domain.definition, number, wide)))
  })
  reply.opaque(Buffer.concat(cpus.map(number => pinsOf(hypervisor, domain.definition, number, mapBytes))))
}

/** The length of one map, checked so that all of them fit into a reply. */
function checkMaps(count: number, bytes: number): number {
  const each = Math.max(0, bytes)
  if (count * each > MAX_MAPS)
    throw internal(`map buffer length '${count * each}' greater than max '${MAX_MAPS}'`, DOMAIN.rpc)
  return each
}

const stats = (balloon: XmlElement): XmlElement => {
  let found = find(balloon, 'stats')
  if (!found) balloon.children.unshift((found = element('stats')))
  return found
}

/** The definition that a call with the domain, something else and flags is about. */
const chosen = (
  hypervisor: Hypervisor,
  ref: DomainRef,
  flags: number,
  cFunction: string,
  allowed = BOTH
): Definition => {
  checkFlags(flags, allowed, cFunction)
  return hypervisor.domain(ref).definitionFor(flags)
}

export const domainResourceHandlers: HandlerTable = {
  [REMOTE.domainGetMaxMemory]: call => void call.reply.u64(domainOf(call).definition.memory),
  [REMOTE.domainSetMaxMemory]: call => setMemory(call, readDomain(call.args), call.args.u64(), MAXIMUM),
  [REMOTE.domainSetMemory]: call => setMemory(call, readDomain(call.args), call.args.u64(), AFFECT.live),
  [REMOTE.domainSetMemoryFlags]: call => setMemory(call, readDomain(call.args), call.args.u64(), call.args.u32()),
  [REMOTE.domainSetMemoryStatsPeriod]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const [period, flags] = [args.i32(), args.u32()]
    const definition = chosen(hypervisor, ref, flags, 'testDomainSetMemoryStatsPeriod')
    if (!definition.hasBalloon) throw internal('No memory balloon device configured, can not set the collection period')
    setAttribute(
      stats(find(definition.tree, 'devices', 'memballoon')!),
      'period',
      period > 0 ? String(period) : undefined
    )
  },
  [REMOTE.domainSetVcpus]: call => setVcpus(call, readDomain(call.args), call.args.u32(), AFFECT.live),
  [REMOTE.domainSetVcpusFlags]: call => setVcpus(call, readDomain(call.args), call.args.u32(), call.args.u32()),
  [REMOTE.domainGetMaxVcpus]: call => void call.reply.i32(domainOf(call).definitionFor(AFFECT.live).maxVcpus),
  [REMOTE.domainGetVcpusFlags]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const flags = args.u32()
    const definition = chosen(hypervisor, ref, flags, 'testDomainGetVcpusFlags', BOTH | MAXIMUM)
    reply.i32(flags & MAXIMUM ? definition.maxVcpus : definition.vcpus)
  },
  [REMOTE.domainGetVcpus]: listVcpus,
  [REMOTE.domainPinVcpu]: call => pinVcpu(call, readDomain(call.args), call.args.u32(), call.args.opaque(MAX_MAP)),
  [REMOTE.domainPinVcpuFlags]: call => {
    const ref = readDomain(call.args)
    const [vcpu, map] = [call.args.u32(), call.args.opaque(MAX_MAP)]
    checkFlags(call.args.u32(), 0, 'testDomainPinVcpuFlags')
    pinVcpu(call, ref, vcpu, map)
  },
  [REMOTE.domainGetVcpuPinInfo]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const maps = readVcpuRoom(args, 'ncpumaps')
    const [bytes, flags] = [args.i32(), args.u32()]
    const definition = hypervisor.domain(ref).definitionFor(flags)
    const count = Math.min(maps, definition.maxVcpus)
    const mapBytes = checkMaps(count, bytes)
    reply.opaque(
      Buffer.concat(Array.from({ length: count }, (_, vcpu) => pinsOf(hypervisor, definition, vcpu, mapBytes)))
    )
    reply.i32(count)
  },
  [REMOTE.domainPinEmulator]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const [map, flags] = [args.opaque(MAX_MAP), args.u32()]
    const definition = chosen(hypervisor, ref, flags, 'testDomainPinEmulator')
    if (map.every(byte => byte === 0)) throw invalidArg('Empty cpu list for pinning')
    const tune = definition.section('cputune')
    const pin = find(tune, 'emulatorpin')
    if (pin) setAttribute(pin, 'cpuset', formatCpus(map))
    else tune.children.push(element('emulatorpin', { cpuset: formatCpus(map) }))
  },
  [REMOTE.domainGetEmulatorPinInfo]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const [bytes, flags] = [args.i32(), args.u32()]
    const definition = chosen(hypervisor, ref, flags, 'testDomainGetEmulatorPinInfo')
    const cpuset =
      attribute(find(definition.tree, 'cputune', 'emulatorpin'), 'cpuset') ??
      attribute(find(definition.tree, 'vcpu'), 'cpuset')
    reply.opaque(mapOf(hypervisor, cpuset, checkMaps(1, bytes))).i32(1)
  },
  [REMOTE.domainSetLifecycleAction]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const [type, action, flags] = [args.u32(), args.u32(), args.u32()]
    checkFlags(flags, BOTH, 'testDomainSetLifecycleAction')
    const name = LIFECYCLES[type]
    const text = ACTIONS[action]
    if (!name) throw invalidArg(`invalid lifecycle type '${type}'`, DOMAIN.domain)
    if (text === undefined) throw invalidArg(`invalid lifecycle action '${action}'`, DOMAIN.domain)
    const { live, config } = hypervisor.domain(ref).definitionsFor(flags)
    for (const definition of [live, config]) if (definition) definition.section(name).children = [text]
  }
}
