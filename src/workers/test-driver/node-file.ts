import { dirname, resolve } from 'node:path'
import { DOMAIN, systemError } from '../../protocol/errors.js'
import { DEFAULT_NODE_XML } from './default-node.js'
import { Definition } from './domain/definition.js'
import { nameInterfaces } from './domain/devices.js'
import { completeDomain } from './domain/domain-xml.js'
import { Domain, FOUND_RUNNING } from './domain/domain.js'
import { SHUTOFF, STATE, type State } from './domain/states.js'
import { internal, xmlFailure } from './failures.js'
import { Hypervisor } from './hypervisor.js'
import { parseSnapshot } from './moment/snapshot-xml.js'
import { completeInterface } from './network/interfaces.js'
import { completeNetwork } from './network/network-xml.js'
import { DEFAULT_NODE } from './node/host.js'
import { completeDevice } from './node/node-devices.js'
import { FileFailure, type PrivateFiles } from './private-files.js'
import { completePool } from './storage/pool-xml.js'
import { completeVolume } from './storage/volume-xml.js'
import { parseXmlInPieces } from './xml/pieces.js'
import {
  attribute,
  childrenNamed,
  elements,
  expectRoot,
  find,
  namespaceOf,
  parseXml,
  textAt,
  textOf,
  type XmlElement
} from './xml/xml.js'

/** Elements of this namespace say in what state a domain is to be found. */
const TEST_NAMESPACE = 'http://libvirt.org/schemas/domain/test/1.0'
/** A file that is larger is no definition of a test host, in bytes. */
const MAX_FILE_BYTES = 4 * 1024 * 1024

export function loadDefault(files: PrivateFiles): Hypervisor {
  const hypervisor = new Hypervisor('test:///default', files)
  hypervisor.cells = [1n, 2n].map(n => ({ memory: n * 2_097_152n, free: n * 1_048_576n, cpus: 8 }))
  const work = fill(hypervisor, parseXml(DEFAULT_NODE_XML, '(test driver)'), '/')
  while (work.next().done !== true);
  return hypervisor
}

/**
 * Pauses again and again: a file may have thousands of domains. Throws RemoteError if it cannot be read or is no
 * `<node>`.
 */
export function* loadFile(uri: string, path: string, files: PrivateFiles): Generator<void, Hypervisor> {
  const hypervisor = new Hypervisor(uri, files)
  hypervisor.node = { ...DEFAULT_NODE }
  yield* fill(hypervisor, yield* readXml(files, path), path)
  return hypervisor
}

function readXml(files: PrivateFiles, path: string): Generator<void, XmlElement> {
  return parseXmlInPieces(readText(files, path), path.slice(path.lastIndexOf('/') + 1))
}

function readText(files: PrivateFiles, path: string): string {
  try {
    const bytes = files.read(path, MAX_FILE_BYTES + 1)
    if (bytes.length > MAX_FILE_BYTES) throw xmlFailure(`file '${path}' is too large`)
    return bytes.toString('utf8')
  } catch (error) {
    if (!(error instanceof FileFailure)) throw error
    throw systemError(error.errno, `failed to open file '${path}': ${error.message}`, DOMAIN.xml)
  }
}

function* fill(hypervisor: Hypervisor, node: XmlElement, file: string): Generator<void> {
  /** The element itself, or what stands in the file that it names. */
  function* loaded(tree: XmlElement): Generator<void, XmlElement> {
    const other = attribute(tree, 'file')
    return other === undefined ? tree : yield* readXml(hypervisor.files, resolve(dirname(file), other))
  }
  function* each(name: string, add: (tree: XmlElement) => Generator<void> | void): Generator<void> {
    for (const child of childrenNamed(node, name)) {
      const tree = yield* loaded(child)
      if (tree !== child) expectRoot(tree, name)
      const more = add(tree)
      if (more) yield* more
      yield
    }
  }
  function* addPool(tree: XmlElement): Generator<void> {
    const volumes = new Set(childrenNamed(tree, 'volume'))
    const children = tree.children.filter(child => !volumes.has(child as XmlElement))
    const pool = hypervisor.pools.define(completePool({ ...tree, children }), false)
    pool.active = true
    for (const volume of volumes) {
      pool.add(completeVolume(yield* loaded(volume), pool))
      yield
    }
  }
  if (node.name !== 'node') throw xmlFailure("Root element is not 'node'")
  fillNode(hypervisor, node)
  yield* each('domain', tree => addDomain(hypervisor, tree))
  yield* each('network', tree => void (hypervisor.networks.define(completeNetwork(tree), false).active = true))
  yield* each('interface', tree => void (hypervisor.interfaces.put(completeInterface(tree)).active = true))
  yield* each('pool', addPool)
  yield* each('device', tree => void hypervisor.devices.put(completeDevice(tree)))
}

function fillNode(hypervisor: Hypervisor, node: XmlElement): void {
  const info = hypervisor.node
  const cpu = find(node, 'cpu')
  const number = (of: XmlElement | undefined, name: string, what: string): number | undefined => {
    const text = textAt(of, name)
    if (text === undefined) return undefined
    if (!/^\s*-?\d+\s*$/.test(text)) throw xmlFailure(`invalid node ${what} value`)
    return Number(text)
  }
  for (const name of ['nodes', 'sockets', 'cores', 'threads'] as const)
    info[name] = number(cpu, name, `cpu ${name}`) ?? info[name]
  info.cpus = Math.min(
    info.nodes * info.sockets * info.cores * info.threads,
    number(cpu, 'active', 'cpu active') ?? Infinity
  )
  info.mhz = number(cpu, 'mhz', 'cpu mhz') ?? info.mhz
  const model = textAt(cpu, 'model')
  if (model !== undefined && Buffer.byteLength(model) > 31) throw internal(`Model ${model} too big for destination`)
  info.model = model ?? info.model
  info.memory = BigInt(number(node, 'memory', 'memory') ?? info.memory)
}

function addDomain(hypervisor: Hypervisor, tree: XmlElement): void {
  const own = elements(tree).filter(child => namespaceOf(child, [tree]) === TEST_NAMESPACE)
  const named = (name: string): XmlElement | undefined => own.find(child => child.name.endsWith(`:${name}`))
  const runstate = named('runstate')
  const state = runstate ? Number(textOf(runstate)) : STATE.running
  if (!Number.isInteger(state)) throw xmlFailure('invalid runstate')
  if (state < 0 || state > STATE.suspended) throw xmlFailure(`runstate '${state}' out of range'`)
  const transient = named('transient') !== undefined
  const saved = named('hasmanagedsave') !== undefined
  if (transient && state === STATE.shutoff) throw xmlFailure("transient domain cannot have runstate 'shutoff'")
  if (saved && state !== STATE.shutoff)
    throw xmlFailure("domain with managedsave data can only have runstate 'shutoff'")
  const definition = completeDomain({
    ...tree,
    children: tree.children.filter(child => !own.includes(child as XmlElement))
  })
  nameInterfaces(definition)
  const domain = new Domain(new Definition(definition), !transient)
  hypervisor.domains.set(domain.key, domain)
  if (state === STATE.shutoff) domain.become(STATE.shutoff, SHUTOFF.unknown, hypervisor.nextDomainId)
  else domain.become(state as State, FOUND_RUNNING.reason, hypervisor.nextDomainId)
  domain.managedSave = saved
  for (const child of own.filter(one => one.name.endsWith(':domainsnapshot'))) {
    const { snapshot, current } = parseSnapshot({ ...child, name: 'domainsnapshot' }, true)
    domain.snapshots.add(snapshot)
    if (current) domain.snapshots.current = snapshot
  }
}
