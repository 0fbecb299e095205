import { CODE, DOMAIN, templated } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'
import type { Call, HandlerTable } from './call.js'
import type { EventHub } from './event-hub.js'
import { badArgument, configUnsupported, denied, internal, noSecret, xmlFailure } from './failures.js'
import { passes } from './networks.js'
import { formatUuid, newUuid, parseUuid } from './uuid.js'
import { readRoom, readSecret, writeList, writeSecret, writeString, type SecretRef } from './wire.js'
import {
  attribute,
  copyOf,
  element,
  find,
  isElement,
  parseXml,
  printXml,
  setAttribute,
  textAt,
  type XmlElement
} from './xml.js'

// libvirt's test driver has no secrets: the texts here are those of its secret driver.

const EVENT = { defined: 0, undefined: 1 } as const
const MAX_VALUE_BYTES = 65536

/** Uses by number, each with the element that names the user and what errors call it. */
const USAGES: readonly (readonly [type: string, names: string, missing: string])[] = [
  ['none', '', ''],
  ['volume', 'volume', 'volume usage specified, but volume path is missing'],
  ['ceph', 'name', 'Ceph usage specified, but name is missing'],
  ['iscsi', 'target', 'iSCSI usage specified, but target is missing'],
  ['tls', 'name', 'TLS usage specified, but name is missing'],
  ['vtpm', 'name', 'vTPM usage specified, but name is missing']
]
const ORDER = ['uuid', 'description', 'usage']

export class Secret implements SecretRef {
  value: Buffer | undefined
  constructor(
    readonly definition: XmlElement,
    readonly uuid: Buffer,
    readonly usageType: number,
    readonly usageId: string
  ) {}
  get ephemeral(): boolean {
    return attribute(this.definition, 'ephemeral') === 'yes'
  }
  get private(): boolean {
    return attribute(this.definition, 'private') === 'yes'
  }
}

/** Throws libvirt's error. */
function completeSecret(given: XmlElement): Secret {
  const tree = copyOf(given)
  for (const name of ['ephemeral', 'private']) {
    const value = attribute(tree, name) ?? 'no'
    if (value !== 'yes' && value !== 'no') throw xmlFailure(`invalid value of '${name}'`, DOMAIN.secret)
    setAttribute(tree, name, undefined)
    setAttribute(tree, name, value)
  }
  const text = textAt(tree, 'uuid')
  const uuid = text === undefined ? newUuid() : parseUuid(text)
  if (!uuid) throw internal('malformed uuid element', DOMAIN.secret)
  tree.children = tree.children.filter(child => !isElement(child) || child.name !== 'uuid')
  tree.children.push(element('uuid', {}, formatUuid(uuid)))
  const rank = (name: string): number => (ORDER.indexOf(name) < 0 ? ORDER.length : ORDER.indexOf(name))
  tree.children.sort((a, b) => rank(isElement(a) ? a.name : '') - rank(isElement(b) ? b.name : ''))
  const usage = find(tree, 'usage')
  if (!usage) return new Secret(tree, uuid, 0, '')
  const type = attribute(usage, 'type')
  if (type === undefined) throw xmlFailure('unknown secret usage type', DOMAIN.secret)
  const usageType = USAGES.findIndex(([name]) => name === type)
  if (usageType < 0) throw configUnsupported(`unknown secret usage type ${type}`, DOMAIN.secret)
  const [, names, missing] = USAGES[usageType]!
  const usageId = names === '' ? '' : (textAt(usage, names) ?? attribute(find(usage, names), 'name'))
  if (usageId === undefined) throw internal(missing, DOMAIN.secret)
  return new Secret(tree, uuid, usageType, usageId)
}

export class Secrets {
  readonly #byUuid = new Map<string, Secret>()
  constructor(readonly events: EventHub) {}

  get all(): Secret[] {
    return [...this.#byUuid.values()]
  }

  get(uuid: Buffer): Secret {
    const found = this.#byUuid.get(uuid.toString('hex'))
    if (!found) throw noSecret(`no secret with matching uuid '${formatUuid(uuid)}'`, DOMAIN.secret)
    return found
  }

  define(fresh: Secret): void {
    const key = fresh.uuid.toString('hex')
    const same = this.#byUuid.get(key)
    const uuid = (of: Secret): string => formatUuid(of.uuid)
    if (same && (same.usageType !== fresh.usageType || same.usageId !== fresh.usageId))
      throw internal(`a secret with UUID ${uuid(same)} is already defined for use with ${same.usageId}`, DOMAIN.secret)
    const rival = this.all.find(
      one => one !== same && fresh.usageType !== 0 && one.usageType === fresh.usageType && one.usageId === fresh.usageId
    )
    if (rival)
      throw internal(`a secret with UUID ${uuid(rival)} already defined for use with ${rival.usageId}`, DOMAIN.secret)
    if (same?.private && !fresh.private) throw internal(`cannot change private flag on existing secret`, DOMAIN.secret)
    fresh.value = same?.value
    this.#byUuid.set(key, fresh)
    this.events.secretLifecycle(fresh, EVENT.defined)
  }

  undefine(secret: Secret): void {
    this.#byUuid.delete(secret.uuid.toString('hex'))
    this.events.secretLifecycle(secret, EVENT.undefined)
  }
}

function checkSecretFlags(flags: number, allowed: number, cFunction: string): void {
  const other = (flags & ~allowed) >>> 0
  if (other === 0) return
  const text = `unsupported flags (0x${other.toString(16)}) in function ${cFunction}`
  throw badArgument(text, cFunction, 'flags', DOMAIN.secret)
}

const named = ({ hypervisor, args }: Call): Secret => hypervisor.secrets.get(readSecret(args).uuid)

export const secretHandlers: HandlerTable = {
  [REMOTE.connectListAllSecrets]: ({ hypervisor, args, reply }) => {
    const wanted = args.i32() !== 0
    const flags = args.u32()
    checkSecretFlags(flags, 0xf, 'secretConnectListAllSecrets')
    const found = hypervisor.secrets.all.filter(secret =>
      passes(secret, flags, [
        [1, 2, one => one.ephemeral],
        [4, 8, one => one.private]
      ])
    )
    writeList(reply, found, wanted, writeSecret)
  },
  [REMOTE.connectNumOfSecrets]: ({ hypervisor, reply }) => void reply.i32(hypervisor.secrets.all.length),
  [REMOTE.connectListSecrets]: ({ hypervisor, args, reply }) => {
    const most = readRoom(args, 'maxuuids', 'REMOTE_SECRET_LIST_MAX')
    const uuids = hypervisor.secrets.all.map(secret => formatUuid(secret.uuid))
    reply.array(uuids.slice(0, most), writeString)
  },
  [REMOTE.secretLookupByUuid]: ({ hypervisor, args, reply }) => writeSecret(reply, hypervisor.secrets.get(args.uuid())),
  [REMOTE.secretLookupByUsage]: ({ hypervisor, args, reply }) => {
    const [type, id] = [args.i32(), args.string()]
    const found = hypervisor.secrets.all.find(secret => secret.usageType === type && secret.usageId === id)
    if (!found) throw noSecret(`no secret with matching usage '${id}'`, DOMAIN.secret)
    writeSecret(reply, found)
  },
  [REMOTE.secretDefineXml]: ({ hypervisor, args, reply }) => {
    const xml = args.string()
    checkSecretFlags(args.u32(), 1, 'secretDefineXML')
    const secret = completeSecret(parseXml(xml, 'definition_of_secret', 'secret'))
    hypervisor.secrets.define(secret)
    writeSecret(reply, secret)
  },
  [REMOTE.secretGetXmlDesc]: ({ hypervisor, args, reply }) => {
    const { uuid } = readSecret(args)
    checkSecretFlags(args.u32(), 0, 'secretGetXMLDesc')
    reply.string(printXml(hypervisor.secrets.get(uuid).definition))
  },
  [REMOTE.secretSetValue]: ({ hypervisor, args }) => {
    const { uuid } = readSecret(args)
    const value = args.opaque(MAX_VALUE_BYTES)
    checkSecretFlags(args.u32(), 0, 'secretSetValue')
    const secret = hypervisor.secrets.get(uuid)
    secret.value = value
    hypervisor.secrets.events.secretValueChanged(secret)
  },
  [REMOTE.secretGetValue]: ({ client, hypervisor, args, reply }) => {
    const { uuid } = readSecret(args)
    const flags = args.u32()
    if (client.readOnly) throw denied('read only access prevents virSecretGetValue', DOMAIN.secret)
    checkSecretFlags(flags, 0, 'secretGetValue')
    const secret = hypervisor.secrets.get(uuid)
    if (!secret.value) throw noSecret(`secret '${formatUuid(uuid)}' does not have a value`, DOMAIN.secret)
    if (secret.private) throw templated(CODE.invalidSecret, DOMAIN.secret, 'Invalid secret: %1$s', 'secret is private')
    reply.opaque(secret.value)
  },
  [REMOTE.secretUndefine]: call => call.hypervisor.secrets.undefine(named(call))
}
