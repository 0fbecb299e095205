import { CODE, DOMAIN, templated } from '../../../protocol/errors.js'
import { REMOTE } from '../../../protocol/procedures.js'
import type { HandlerTable } from '../call.js'
import { checkFlags, denied, noSecret } from '../failures.js'
import { type Pair, passes } from '../list/filters.js'
import { listAll } from '../list/list-handlers.js'
import { readRoom, readSecret, writeSecret, writeString } from '../wire.js'
import { formatUuid } from '../xml/uuid.js'
import { parseXml, printXml } from '../xml/xml.js'
import { completeSecret } from './secret-xml.js'
import type { Secret } from './secrets.js'

const EVENT = { defined: 0, undefined: 1 } as const
const MAX_VALUE_BYTES = 65536
const PAIRS: readonly Pair<Secret>[] = [
  [1, 2, secret => secret.ephemeral],
  [4, 8, secret => secret.private]
]

export const secretHandlers: HandlerTable = {
  [REMOTE.connectListAllSecrets]: listAll({
    all: hypervisor => hypervisor.secrets.all,
    flags: 0xf,
    cFunction: 'secretConnectListAllSecrets',
    domain: DOMAIN.secret,
    fits: (secret, flags) => passes(secret, flags, PAIRS),
    item: writeSecret
  }),
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
    checkFlags(args.u32(), 1, 'secretDefineXML', DOMAIN.secret)
    const secret = completeSecret(parseXml(xml, 'definition_of_secret', 'secret'))
    hypervisor.secrets.define(secret)
    hypervisor.events.secretLifecycle(secret, EVENT.defined)
    writeSecret(reply, secret)
  },
  [REMOTE.secretGetXmlDesc]: ({ hypervisor, args, reply }) => {
    const { uuid } = readSecret(args)
    checkFlags(args.u32(), 0, 'secretGetXMLDesc', DOMAIN.secret)
    reply.string(printXml(hypervisor.secrets.get(uuid).definition))
  },
  [REMOTE.secretSetValue]: ({ hypervisor, args }) => {
    const { uuid } = readSecret(args)
    const value = args.opaque(MAX_VALUE_BYTES)
    checkFlags(args.u32(), 0, 'secretSetValue', DOMAIN.secret)
    const secret = hypervisor.secrets.get(uuid)
    secret.value = value
    hypervisor.events.secretValueChanged(secret)
  },
  [REMOTE.secretGetValue]: ({ client, hypervisor, args, reply }) => {
    const { uuid } = readSecret(args)
    const flags = args.u32()
    if (client.readOnly) throw denied('read only access prevents virSecretGetValue', DOMAIN.secret)
    checkFlags(flags, 0, 'secretGetValue', DOMAIN.secret)
    const secret = hypervisor.secrets.get(uuid)
    if (!secret.value) throw noSecret(`secret '${formatUuid(uuid)}' does not have a value`, DOMAIN.secret)
    if (secret.private) throw templated(CODE.invalidSecret, DOMAIN.secret, 'Invalid secret: %1$s', 'secret is private')
    reply.opaque(secret.value)
  },
  [REMOTE.secretUndefine]: ({ hypervisor, args }) => {
    const secret = hypervisor.secrets.get(readSecret(args).uuid)
    hypervisor.secrets.undefine(secret)
    hypervisor.events.secretLifecycle(secret, EVENT.undefined)
  }
}
