import { cpus } from 'node:os'
import { checkParams } from '../../../protocol/bad-arguments.js'
import { DOMAIN } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import { PARAM, readParams } from '../../../protocol/typed-params.js'
import type { XdrReader } from '../../../protocol/xdr.js'
import { firstCpus, formatCpus, parseCpus } from './cpuset.js'
import type { HandlerTable } from '../call.js'
import { AFFECT, type Definition } from './definition.js'
import { badArgument, checkFlags, invalidArg } from '../failures.js'
import type { Hypervisor } from '../hypervisor.js'
import { schemaOf } from '../typed-checks.js'
import { readDomain } from '../wire.js'
import { attribute, childrenNamed, element, elements, find, setAttribute, type XmlElement } from '../xml/xml.js'

// Threads that serve a domain's disks: numbers that exist, and the host's CPUs that each may run on.

const BOTH = AFFECT.live | AFFECT.config
const MAX_MAP = 2048
const MAX_PARAMS = 64
const PARAMETERS = {
  ...schemaOf(PARAM.ullong, 'poll_max_ns'),
  ...schemaOf(PARAM.uint, 'poll_grow', 'poll_shrink'),
  ...schemaOf(PARAM.int, 'thread_pool_min', 'thread_pool_max')
}

const threadsOf = ({ tree }: Definition): XmlElement[] => childrenNamed(find(tree, 'iothreadids'), 'iothread')
const withId = (threads: XmlElement[], id: number): XmlElement | undefined =>
  threads.find(thread => attribute(thread, 'id') === String(id))
const pinOf = ({ tree }: Definition, id: number): XmlElement | undefined =>
  childrenNamed(find(tree, 'cputune'), 'iothreadpin').find(pin => attribute(pin, 'iothread') === String(id))

function without(parent: XmlElement | undefined, child: XmlElement | undefined): void {
  if (parent) parent.children = parent.children.filter(other => other !== child)
}

function dropIfEmpty({ tree }: Definition, name: string): void {
  const section = find(tree, name)
  if (section && elements(section).length === 0) without(tree, section)
}

function count(definition: Definition): void {
  const total = threadsOf(definition).length
  if (total > 0) definition.section('iothreads').children = [String(total)]
  else without(definition.tree, find(definition.tree, 'iothreads'))
  dropIfEmpty(definition, 'iothreadids')
}

function add(definition: Definition, id: number): void {
  if (withId(threadsOf(definition), id))
    throw invalidArg(`an IOThread is already using iothread_id '${id}'`, DOMAIN.domain)
  definition.section('iothreadids').children.push(element('iothread', { id: String(id) }))
  count(definition)
}

function remove(definition: Definition, id: number): void {
  const thread = withId(threadsOf(definition), id)
  if (!thread) throw invalidArg(`cannot find IOThread '${id}' in iothreadids list`, DOMAIN.domain)
  without(find(definition.tree, 'iothreadids'), thread)
  without(find(definition.tree, 'cputune'), pinOf(definition, id))
  dropIfEmpty(definition, 'cputune')
  count(definition)
}

/** The domain, a thread's number and flags: both definitions that the flags name are changed. */
const changing =
  (api: string, change: (definition: Definition, id: number) => void) =>
    ({ hypervisor, args }: { hypervisor: Hypervisor; args: XdrReader }): void => {
      const ref = readDomain(args)
      const [id, flags] = [args.u32(), args.u32()]
      if (id === 0 && api === 'DelIOThread')
        throw badArgument(
          `iothread_id in virDomain${api} must not be zero`,
          `virDomain${api}`,
          'iothread_id',
          DOMAIN.domain
        )
      checkFlags(flags, BOTH, `testDomain${api}`)
      if (id === 0) throw invalidArg('invalid value of 0 for iothread_id')
      const { live, config } = hypervisor.domain(ref).definitionsFor(flags)
      for (const definition of [live, config]) if (definition) change(definition, id)
    }

export const domainIoThreadHandlers: HandlerTable = {
  [REMOTE.domainGetIothreadInfo]: ({ hypervisor, args, reply }) => {
    const ref = readDomain(args)
    const flags = args.u32()
    checkFlags(flags, BOTH, 'testDomainGetIOThreadInfo')
    const definition = hypervisor.domain(ref).definitionFor(flags)
    const total = cpus().length
    const bytes = Math.ceil(total / 8)
    const threads = threadsOf(definition).map(thread => Number(attribute(thread, 'id')))
    reply.array(threads, (xdr, id) => {
      const cpuset = attribute(pinOf(definition, id), 'cpuset')
      xdr.u32(id).opaque((cpuset === undefined ? undefined : parseCpus(cpuset, bytes)) ?? firstCpus(total, bytes))
    })
    reply.u32(threads.length)
  },
  [REMOTE.domainAddIothread]: changing('AddIOThread', add),
  [REMOTE.domainDelIothread]: changing('DelIOThread', remove),
  [REMOTE.domainPinIothread]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const [id, map, flags] = [args.u32(), args.opaque(MAX_MAP), args.u32()]
    checkFlags(flags, BOTH, 'testDomainPinIOThread')
    const definition = hypervisor.domain(ref).definitionFor(flags)
    if (map.every(byte => byte === 0)) throw invalidArg('Empty iothread cpumap list for pinning')
    if (!withId(threadsOf(definition), id)) throw invalidArg(`iothreadid ${id} not found`)
    const pin = pinOf(definition, id)
    if (pin) setAttribute(pin, 'cpuset', formatCpus(map))
    else {
      const made = element('iothreadpin', { iothread: String(id), cpuset: formatCpus(map) })
      definition.section('cputune').children.push(made)
    }
  },
  [REMOTE.domainSetIothreadParams]: ({ hypervisor, args }) => {
    const ref = readDomain(args)
    const [id, params, flags] = [args.u32(), readParams(args, MAX_PARAMS), args.u32()]
    checkFlags(flags, BOTH, 'testDomainSetIOThreadParams')
    checkParams(params, PARAMETERS)
    const definition = hypervisor.domain(ref).definitionFor(flags)
    // The polling of threads that do not exist cannot be tuned: nothing of it is kept.
    if (!withId(threadsOf(definition), id)) throw invalidArg(`cannot find IOThread '${id}' in iothreadids`)
  }
}
