import { checkParams, type Schema } from '../../../protocol/bad-arguments.js'
import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import {
  booleanParam,
  intParam,
  PARAM,
  readParams,
  stringParam,
  uintParam,
  ullongParam,
  writeParams,
  type TypedParam
} from '../../../protocol/typed-params.js'
import type { XdrReader } from '../../../protocol/xdr.js'
import { parseCpus } from './cpuset.js'
import type { Call, Handler, HandlerTable } from '../call.js'
import { insertInOrder } from './layout.js'
import { findDisk, findInterface } from './stats-handlers.js'
import { AFFECT, type Definition } from './definition.js'
import { argumentUnsupported, checkFlags, invalid, invalidArg } from '../failures.js'
import { schemaOf, STRING_OKAY, visible } from '../typed-checks.js'
import { readDomain, readParamRoom, readString } from '../wire.js'
import { attribute, childrenNamed, element, find, setAttribute, textAt, type XmlElement } from '../xml/xml.js'

// Getters and setters of typed parameters. What they set is kept in the definition, where libvirt prints it.

const BOTH = AFFECT.live | AFFECT.config

/** "No limit" of memory parameters, in KiB (`VIR_DOMAIN_MEMORY_PARAM_UNLIMITED`). */
const UNLIMITED = 9_007_199_254_740_991n
const MEMORY_LIMITS = ['hard_limit', 'soft_limit', 'swap_hard_limit'] as const
const NUMA_MODES = ['strict', 'preferred', 'interleave', 'restrictive']
const RATES = ['average', 'peak', 'burst', 'floor'] as const
const PERF_EVENTS = [
  'cmt',
  'mbmt',
  'mbml',
  'cpu_cycles',
  'instructions',
  'cache_references',
  'cache_misses',
  'branch_instructions',
  'branch_misses',
  'bus_cycles',
  'stalled_cycles_frontend',
  'stalled_cycles_backend',
  'ref_cpu_cycles',
  'cpu_clock',
  'task_clock',
  'page_faults',
  'context_switches',
  'cpu_migrations',
  'page_faults_min',
  'page_faults_maj',
  'alignment_faults',
  'emulation_faults'
]
const THROTTLES = [
  'total_bytes_sec',
  'read_bytes_sec',
  'write_bytes_sec',
  'total_iops_sec',
  'read_iops_sec',
  'write_iops_sec'
] as const
const IO_FIELDS = [
  ...THROTTLES,
  ...THROTTLES.map(name => `${name}_max`),
  'size_iops_sec',
  'group_name',
  ...THROTTLES.map(name => `${name}_max_length`)
]
const MAX_IO_TUNE = 1_000_000_000_000_000n
/** What a disk of the host may be limited to: field names and the elements that keep them. */
const BLKIO_DEVICE: readonly (readonly [field: string, element: string])[] = [
  ['device_weight', 'weight'],
  ['device_read_iops_sec', 'read_iops_sec'],
  ['device_write_iops_sec', 'write_iops_sec'],
  ['device_read_bytes_sec', 'read_bytes_sec'],
  ['device_write_bytes_sec', 'write_bytes_sec']
]

/** One set of parameters of a domain. */
interface Tunables {
  /** The C function's name without `testDomainGet` or `testDomainSet`. */
  called: string
  /** Most parameters that a message may have. */
  limit: number
  schema: Schema
  /** Arguments between the domain and the parameters: the name of a disk or interface. */
  subject?: (xdr: XdrReader) => string
  /** All parameters; `subject` is empty where there is none. */
  read(definition: Definition, subject: string): TypedParam[]
  write(definition: Definition, params: readonly TypedParam[], subject: string, live: boolean): void
}

function replaceChild(
  parent: XmlElement,
  name: string,
  text: string | undefined,
  attributes: Record<string, string> = {}
): void {
  parent.children = parent.children.filter(child => typeof child === 'string' || child.name !== name)
  if (text !== undefined) parent.children.push(element(name, attributes, text))
}

function sortAs(parent: XmlElement, order: readonly string[]): void {
  const rank = (child: XmlElement | string): number => (typeof child === 'string' ? -1 : order.indexOf(child.name))
  parent.children.sort((a, b) => rank(a) - rank(b))
}

function dropIfEmpty(definition: Definition, section: string): void {
  const { tree } = definition
  tree.children = tree.children.filter(
    child => typeof child === 'string' || child.name !== section || child.children.length > 0
  )
}

const memory: Tunables = {
  called: 'MemoryParameters',
  limit: 16,
  schema: schemaOf(PARAM.ullong, ...MEMORY_LIMITS),
  read: definition =>
    MEMORY_LIMITS.map(name => ullongParam(name, BigInt(textAt(definition.tree, 'memtune', name) ?? UNLIMITED))),
  write: (definition, params) => {
    const given = (name: string): bigint | undefined =>
      params.find(param => param.field === name)?.value as bigint | undefined
    const now = (name: string): bigint => BigInt(textAt(definition.tree, 'memtune', name) ?? UNLIMITED)
    const [hard, swap] = [given('hard_limit'), given('swap_hard_limit')]
    if ((hard !== undefined || swap !== undefined) && (hard ?? now('hard_limit')) > (swap ?? now('swap_hard_limit')))
      throw invalidArg('memory hard_limit tunable value must be lower than or equal to swap_hard_limit')
    const section = definition.section('memtune')
    for (const { field, value } of params)
      replaceChild(section, field, (value as bigint) >= UNLIMITED ? undefined : String(value), { unit: 'KiB' })
    sortAs(section, MEMORY_LIMITS)
    dropIfEmpty(definition, 'memtune')
  }
}

const blkio: Tunables = {
  called: 'BlkioParameters',
  limit: 16,
  schema: { weight: PARAM.uint, ...schemaOf(PARAM.string, ...BLKIO_DEVICE.map(([field]) => field)) },
  read: ({ tree }) => {
    const devices = childrenNamed(find(tree, 'blkiotune'), 'device')
    const list = (name: string): string =>
      devices
        .filter(device => find(device, name))
        .map(device => `${textAt(device, 'path')},${textAt(device, name)}`)
        .join(',')
    const weight = Number(textAt(tree, 'blkiotune', 'weight') ?? 0)
    return [uintParam('weight', weight), ...BLKIO_DEVICE.map(([field, name]) => stringParam(field, list(name)))]
  },
  write: (definition, params) => {
    const section = definition.section('blkiotune')
    for (const { field, value } of params) {
      if (field === 'weight') {
        replaceChild(section, 'weight', value ? String(value) : undefined)
        continue
      }
      const name = BLKIO_DEVICE.find(([of]) => of === field)![1]
      const words = String(value).split(',')
      for (let i = 0; i + 1 < words.length; i += 2) {
        const path = words[i]!
        let device = childrenNamed(section, 'device').find(one => textAt(one, 'path') === path)
        if (!device) section.children.push((device = element('device', {}, element('path', {}, path))))
        replaceChild(device, name, words[i + 1] === '0' ? undefined : words[i + 1])
      }
    }
    sortAs(section, ['weight', 'device'])
    dropIfEmpty(definition, 'blkiotune')
  }
}

const numa: Tunables = {
  called: 'NumaParameters',
  limit: 16,
  schema: { numa_mode: PARAM.int, numa_nodeset: PARAM.string },
  read: ({ tree }) => {
    const setting = find(tree, 'numatune', 'memory')
    const mode = NUMA_MODES.indexOf(attribute(setting, 'mode') ?? 'strict')
    return [intParam('numa_mode', Math.max(0, mode)), stringParam('numa_nodeset', attribute(setting, 'nodeset') ?? '')]
  },
  write: (definition, params, _subject, live) => {
    const setting = find(definition.tree, 'numatune', 'memory')
    const mode = params.find(param => param.field === 'numa_mode')?.value as number | undefined
    const nodes = params.find(param => param.field === 'numa_nodeset')?.value as string | undefined
    if (mode !== undefined && !NUMA_MODES[mode]) throw invalidArg(`unsupported numatune mode: '${mode}'`)
    const map = nodes === undefined ? undefined : parseCpus(nodes, 128)
    if (nodes !== undefined && !map) throw invalidArg(`Failed to parse bitmap '${nodes}'`, DOMAIN.none)
    if (map?.every(byte => byte === 0)) throw invalid(`Invalid nodeset of 'numatune': ${nodes}`)
    if (live && mode !== undefined && setting && attribute(setting, 'mode') !== NUMA_MODES[mode])
      throw invalid("can't change numatune mode for running domain")
    const section = definition.section('numatune')
    const kept = setting ?? element('memory', { mode: 'strict' })
    if (!setting) section.children.unshift(kept)
    if (mode !== undefined) setAttribute(kept, 'mode', NUMA_MODES[mode])
    if (nodes !== undefined) setAttribute(kept, 'nodeset', nodes)
  }
}

const bandwidth: Tunables = {
  called: 'InterfaceParameters',
  limit: 16,
  schema: schemaOf(
    PARAM.uint,
    ...RATES.map(rate => `inbound.${rate}`),
    ...RATES.slice(0, 3).map(rate => `outbound.${rate}`)
  ),
  subject: xdr => xdr.string(),
  read: (definition, device) => {
    const limits = find(findInterface(definition, device), 'bandwidth')
    const rates = (way: string, names: readonly string[]): TypedParam[] =>
      names.map(name => uintParam(`${way}.${name}`, Number(attribute(find(limits, way), name) ?? 0)))
    return [...rates('inbound', RATES), ...rates('outbound', RATES.slice(0, 3))]
  },
  write: (definition, params, device) => {
    const iface = findInterface(definition, device)
    let limits = find(iface, 'bandwidth')
    if (!limits)
      iface.children.splice(iface.children.indexOf(find(iface, 'target')!), 0, (limits = element('bandwidth')))
    for (const way of ['inbound', 'outbound']) {
      const given = new Map(
        params.filter(one => one.field.startsWith(`${way}.`)).map(one => [one.field.slice(way.length + 1), one.value])
      )
      if (given.size === 0) continue
      limits.children = limits.children.filter(child => typeof child === 'string' || child.name !== way)
      // Average or floor make a limit; without them the direction has none.
      if (!given.get('average') && !given.get('floor')) continue
      const pairs = RATES.filter(rate => given.get(rate)).map(rate => [rate, String(given.get(rate))] as const)
      limits.children.push(element(way, Object.fromEntries(pairs)))
    }
    sortAs(limits, ['inbound', 'outbound'])
    if (limits.children.length === 0) iface.children = iface.children.filter(child => child !== limits)
  }
}

function ioTuneOf(definition: Definition, path: string): XmlElement {
  const disk = findDisk(definition, path)
  if (!disk) throw invalidArg(`disk '${path}' was not found in the domain config`)
  return disk
}

const ioTune: Tunables = {
  called: 'BlockIoTune',
  limit: 32,
  schema: { ...schemaOf(PARAM.ullong, ...IO_FIELDS), group_name: PARAM.string },
  subject: xdr => xdr.optional(readString) ?? '',
  read: (definition, path) => {
    const tune = find(ioTuneOf(definition, path), 'iotune')
    return IO_FIELDS.map(field => {
      const text = textAt(tune, field)
      return field === 'group_name' ? stringParam(field, text ?? '') : ullongParam(field, BigInt(text ?? 0))
    })
  },
  write: (definition, params, path) => {
    const disk = ioTuneOf(definition, path)
    const tune = find(disk, 'iotune')
    const values = new Map(IO_FIELDS.map(field => [field, textAt(tune, field) ?? '0']))
    for (const { field, value } of params) {
      if (typeof value === 'bigint' && value > MAX_IO_TUNE)
        throw argumentUnsupported(`block I/O throttle limit value must be no more than ${MAX_IO_TUNE}`)
      values.set(field, String(value))
    }
    const set = (name: string): boolean => values.get(name) !== '0'
    for (const kind of ['bytes_sec', 'iops_sec', 'bytes_sec_max', 'iops_sec_max'])
      if (set(`total_${kind}`) && (set(`read_${kind}`) || set(`write_${kind}`)))
        throw invalidArg(`total and read/write of ${kind} cannot be set at the same time`)
    for (const name of THROTTLES)
      if (BigInt(values.get(name)!) > BigInt(values.get(`${name}_max`)!))
        throw invalidArg(`${name} cannot be set higher than ${name}_max `)
    disk.children = disk.children.filter(child => child !== tune)
    const kept = [...values].filter(([, text]) => text !== '0' && text !== '')
    if (kept.length > 0)
      insertInOrder(disk, element('iotune', {}, ...kept.map(([name, text]) => element(name, {}, text))))
  }
}

const perf: Tunables = {
  called: 'PerfEvents',
  limit: 64,
  schema: schemaOf(PARAM.boolean, ...PERF_EVENTS),
  read: ({ tree }) => {
    const on = new Set(
      childrenNamed(find(tree, 'perf'), 'event')
        .filter(event => attribute(event, 'enabled') === 'yes')
        .map(event => attribute(event, 'name'))
    )
    return PERF_EVENTS.map(name => booleanParam(name, on.has(name)))
  },
  write: (definition, params) => {
    const section = definition.section('perf')
    for (const { field, value } of params) {
      section.children = section.children.filter(
        child => typeof child === 'string' || attribute(child, 'name') !== field
      )
      section.children.push(element('event', { name: field, enabled: value ? 'yes' : 'no' }))
    }
  }
}

/** First call: no room, and the answer is how many there are. Second: the parameters, and 0. */
const getter =
  (tunables: Tunables): Handler =>
    ({ hypervisor, args, reply }) => {
      const ref = readDomain(args)
      const subject = tunables.subject?.(args) ?? ''
      const room = readParamRoom(args, tunables.limit)
      const flags = args.u32()
      checkFlags(flags, BOTH | STRING_OKAY, `testDomainGet${tunables.called}`)
      if (room === 0) {
        writeParams(reply, []).i32(Object.keys(tunables.schema).length)
        return
      }
      const params = tunables.read(hypervisor.domain(ref).definitionFor(flags), subject)
      writeParams(reply, visible(params.slice(0, room), flags)).i32(0)
    }

const setter =
  (tunables: Tunables): Handler =>
    ({ hypervisor, args }) => {
      const ref = readDomain(args)
      const subject = tunables.subject ? args.string() : ''
      const params = readParams(args, tunables.limit)
      const flags = args.u32()
      checkFlags(flags, BOTH, `testDomainSet${tunables.called}`)
      checkParams(params, tunables.schema)
      const domain = hypervisor.domain(ref)
      const { live, config } = domain.definitionsFor(flags)
      tunables.write(live ?? config!, params, subject, live !== undefined)
    }

// The scheduler's weight can be set and is not kept, as in libvirt's test driver.
const MAX_SCHEDULER = 16
const WEIGHT = uintParam('weight', 50)

function getScheduler({ hypervisor, args, reply }: Call, withFlags: boolean): void {
  const ref = readDomain(args)
  const room = readParamRoom(args, MAX_SCHEDULER)
  if (withFlags) checkFlags(args.u32() & ~STRING_OKAY, 0, 'testDomainGetSchedulerParametersFlags')
  hypervisor.domain(ref)
  writeParams(reply, room > 0 ? [WEIGHT] : [])
}

function setScheduler({ hypervisor, args }: Call, withFlags: boolean): void {
  const ref = readDomain(args)
  const params = readParams(args, MAX_SCHEDULER)
  if (withFlags) checkFlags(args.u32(), 0, 'testDomainSetSchedulerParametersFlags')
  checkParams(params, { weight: PARAM.uint })
  hypervisor.domain(ref)
}

export const domainTunableHandlers: HandlerTable = {
  [REMOTE.domainGetMemoryParameters]: getter(memory),
  [REMOTE.domainSetMemoryParameters]: setter(memory),
  [REMOTE.domainGetBlkioParameters]: getter(blkio),
  [REMOTE.domainSetBlkioParameters]: setter(blkio),
  [REMOTE.domainGetNumaParameters]: getter(numa),
  [REMOTE.domainSetNumaParameters]: setter(numa),
  [REMOTE.domainGetInterfaceParameters]: getter(bandwidth),
  [REMOTE.domainSetInterfaceParameters]: setter(bandwidth),
  [REMOTE.domainGetBlockIoTune]: getter(ioTune),
  [REMOTE.domainSetBlockIoTune]: setter(ioTune),
  [REMOTE.domainSetPerfEvents]: setter(perf),
  [REMOTE.domainGetPerfEvents]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const flags = args.u32()
    checkFlags(flags, BOTH | STRING_OKAY, 'testDomainGetPerfEvents')
    writeParams(reply, perf.read(hypervisor.domain(ref).definitionFor(flags), ''))
  },
  [REMOTE.domainGetSchedulerType]: ({ args, reply }) => {
    readDomain(args)
    reply.string('fair').i32(1)
  },
  [REMOTE.domainGetSchedulerParameters]: call => getScheduler(call, false),
  [REMOTE.domainGetSchedulerParametersFlags]: call => getScheduler(call, true),
  [REMOTE.domainSetSchedulerParameters]: call => setScheduler(call, false),
  [REMOTE.domainSetSchedulerParametersFlags]: call => setScheduler(call, true),
  [REMOTE.domainGetLaunchSecurityInfo]: ({ args, reply }) => {
    readDomain(args)
    checkFlags(args.u32(), 0, 'testDomainGetLaunchSecurityInfo')
    writeParams(reply, [])
  }
}
