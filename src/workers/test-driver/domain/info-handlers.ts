import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { Call, Handler, HandlerTable } from '../call.js'
import { checkFlags, denied, internal, invalid, invalidArg } from '../failures.js'
import { readDomain, readString, writeString } from '../wire.js'
import { attribute, childrenNamed, find } from '../xml/xml.js'
import type { Domain } from './domain.js'
import { domainOf } from './on-domain.js'
import { STATE } from './states.js'

const XML_FLAGS = { secure: 1, inactive: 2, migratable: 8 } as const
const MESSAGE_FLAGS = 3
const NANOSECONDS_PER_MS = 1_000_000n
const MAX_KEYCODES = 16
/** Key code sets with the largest code that each has a name for; 0 is linux. */
const KEYCODE_SETS: readonly (readonly [name: string, largest: number])[] = [
  ['linux', 0x2ff],
  ['xt', 0xffff],
  ['atset1', 0xffff],
  ['atset2', 0xffff],
  ['atset3', 0xffff],
  ['os_x', 0xff],
  ['xt_kbd', 0xffff],
  ['usb', 0xff],
  ['win32', 0xffff],
  ['qnum', 0xffff]
]
const LAST_SIGNAL = 64
const MOUNT_POINTS = ['/', '/boot']
const MAX_MOUNTS = 256
const MAX_PEEK = 4_194_304

/** A call on a running domain whose arguments are the domain and flags that must be 0. */
const onRunning =
  (cFunction: string, act: (call: Call, domain: Domain) => void): Handler =>
    call => {
      const ref = readDomain(call.args)
      checkFlags(call.args.u32(), 0, cFunction)
      const domain = call.hypervisor.domain(ref)
      domain.requireActive()
      act(call, domain)
    }

/** The control interface pretends to be busy or broken, depending on what time the guest was told it is. */
function controlState(seconds: number): [state: number, details: number, time: number] {
  if (seconds > 0 && seconds < 10_000) return [1, 0, seconds]
  if (seconds >= 10_000 && seconds < 30_000) return [2, 0, seconds - 10_000]
  if (seconds >= 30_000 && seconds < 60_000) return [3, seconds % 4, seconds - 30_000]
  return [0, 0, 0]
}

function freeze(call: Call, cFunction: string, frozen: boolean): void {
  const ref = readDomain(call.args)
  const mounts = call.args.array(MAX_MOUNTS, readString)
  checkFlags(call.args.u32(), 0, cFunction)
  const domain = call.hypervisor.domain(ref)
  domain.requireActive()
  for (const mount of mounts) if (!MOUNT_POINTS.includes(mount)) throw invalid(`mount point not found: ${mount}`)
  const before = domain.frozen.size
  for (const mount of mounts.length > 0 ? mounts : MOUNT_POINTS)
    if (frozen) domain.frozen.add(mount)
    else domain.frozen.delete(mount)
  call.reply.i32(Math.abs(domain.frozen.size - before))
}

export const domainInfoHandlers: HandlerTable = {
  [REMOTE.domainGetInfo]: call => {
    const domain = domainOf(call)
    const { memory, currentMemory, vcpus } = domain.definition
    const cpuTime = BigInt(Date.now()) * NANOSECONDS_PER_MS
    call.reply.u32(domain.state).u64(memory).u64(currentMemory).u32(vcpus).u64(cpuTime)
  },
  [REMOTE.domainGetState]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    checkFlags(args.u32(), 0, 'testDomainGetState')
    const domain = hypervisor.domain(ref)
    reply.i32(domain.state).i32(domain.reason)
  },
  [REMOTE.domainGetXmlDesc]: ({ client, hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const flags = args.u32()
    if (client.readOnly && flags & (XML_FLAGS.secure | XML_FLAGS.migratable))
      throw denied('virDomainGetXMLDesc with secure flag', DOMAIN.domain)
    checkFlags(flags, XML_FLAGS.secure | XML_FLAGS.inactive | XML_FLAGS.migratable, 'testDomainGetXMLDesc')
    reply.string(hypervisor.domain(ref).describe(flags))
  },
  // The answer of libvirt's test driver, for any domain.
  [REMOTE.domainGetOsType]: ({ args, reply }) => {
    readDomain(args)
    reply.string('linux')
  },
  [REMOTE.domainGetHostname]: onRunning(
    'testDomainGetHostname',
    ({ reply }, domain) => void reply.string(`${domain.name}host`)
  ),
  [REMOTE.domainGetControlInfo]: onRunning('testDomainGetControlInfo', ({ reply }, domain) => {
    const [state, details, time] = controlState(Number(domain.time.seconds))
    reply.u32(state).u32(details).u64(BigInt(time))
  }),
  [REMOTE.domainGetTime]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    checkFlags(args.u32(), 0, 'testDomainGetTime')
    const domain = hypervisor.domain(ref)
    if (domain.state !== STATE.running) throw invalid('domain is not running')
    reply.i64(domain.time.seconds).u32(domain.time.nanoseconds)
  },
  [REMOTE.domainSetTime]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const [seconds, nanoseconds] = [args.i64(), args.u32()]
    checkFlags(args.u32(), 1, 'testDomainSetTime')
    const domain = hypervisor.domain(ref)
    domain.requireActive()
    domain.time = { seconds, nanoseconds }
  },
  [REMOTE.domainGetSecurityLabel]: call => {
    const { active } = domainOf(call)
    call.reply.chars(Buffer.from(active ? 'libvirt-test\0' : '\0')).i32(active ? 1 : 0)
  },
  [REMOTE.domainGetMessages]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const flags = args.u32()
    checkFlags(flags, MESSAGE_FLAGS, 'testDomainGetMessages')
    const { definition } = hypervisor.domain(ref)
    const model = find(definition.tree, 'cpu', 'model')
    const deprecated = model?.children.includes('Deprecated-Test') && (flags === 0 || flags & 1)
    reply.array(deprecated ? ['deprecated configuration: CPU model Deprecated-Test'] : [], writeString)
  },
  [REMOTE.domainGetFsinfo]: onRunning('testDomainGetFSInfo', ({ reply }, domain) => {
    const disk = childrenNamed(find(domain.definition.tree, 'devices'), 'disk').find(
      one => attribute(one, 'device') === 'disk'
    )
    const name = attribute(find(disk, 'target'), 'dev')
    const mounts =
      name === undefined ? [] : MOUNT_POINTS.map((mount, index) => ({ mount, device: `${name}${index + 1}` }))
    reply.array(mounts, (xdr, { mount, device }) => {
      xdr.string(mount).string(device).string('ext4').array([name!], writeString)
    })
    reply.u32(mounts.length)
  }),
  [REMOTE.domainFsfreeze]: call => freeze(call, 'testDomainFSFreeze', true),
  [REMOTE.domainFsthaw]: call => freeze(call, 'testDomainFSThaw', false),
  [REMOTE.domainFstrim]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const mount = args.optional(readString)
    args.u64()
    checkFlags(args.u32(), 0, 'testDomainFSTrim')
    hypervisor.domain(ref).requireActive()
    if (mount !== undefined && !MOUNT_POINTS.includes(mount)) throw invalid(`mount point not found: ${mount}`)
  },
  [REMOTE.domainInjectNmi]: onRunning('testDomainInjectNMI', () => undefined),
  [REMOTE.domainSendKey]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const set = args.u32()
    args.u32()
    const codes = args.array(MAX_KEYCODES, xdr => xdr.u32())
    checkFlags(args.u32(), 0, 'testDomainSendKey')
    hypervisor.domain(ref).requireActive()
    const known = KEYCODE_SETS[set]
    for (const code of codes)
      if (!known || code > known[1]) throw internal(`invalid keycode ${code} of ${known?.[0] ?? '(null)'} codeset`)
  },
  [REMOTE.domainSendProcessSignal]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const [pid, signal] = [args.i64(), args.u32()]
    checkFlags(args.u32(), 0, 'testDomainSendProcessSignal')
    if (pid !== 1n) throw invalidArg('only sending a signal to pid 1 is supported')
    if (signal > LAST_SIGNAL) throw invalidArg(`signum value ${signal} is out of range`)
    hypervisor.domain(ref)
  },
  [REMOTE.domainSetUserPassword]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    args.optional(readString)
    args.optional(readString)
    checkFlags(args.u32(), 1, 'testDomainSetUserPassword')
    hypervisor.domain(ref).requireActive()
  },
  [REMOTE.domainMemoryPeek]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const [offset, size, flags] = [args.u64(), args.u32(), args.u32()]
    checkFlags(flags, 3, 'testDomainMemoryPeek')
    if (flags !== 1 && flags !== 2)
      throw invalidArg('flags parameter must be VIR_MEMORY_VIRTUAL or VIR_MEMORY_PHYSICAL')
    hypervisor.domain(ref).requireActive()
    if (size > MAX_PEEK) throw invalidArg(`size > maximum buffer size`)
    reply.opaque(Buffer.from(Array.from({ length: size }, (_, index) => Number((offset + BigInt(index)) & 0xffn))))
  }
}
