import { hostname } from 'node:os'
import { checkParams, type Schema } from '../../protocol/bad-arguments.js'
import { CODE, DOMAIN, RemoteError } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'
import { PARAM, readParams } from '../../protocol/typed-params.js'
import type { DoorTable, HandlerTable } from './call.js'
import { readString } from './wire.js'

/** The release whose test driver this one follows: major · 1 000 000 + minor · 1000 + micro. */
const LIBRARY_VERSION = 9_000_000n
/** What the test hypervisor says of itself. */
const HYPERVISOR_VERSION = 2n

const AUTH_NONE = 0
const FEATURE_KEEPALIVE = 10
/** Features that this daemon and driver have, descriptors (8) and typed strings (9) among them. */
const FEATURES = new Set([8, 9, FEATURE_KEEPALIVE, 14, 15, 16])

const authFailed = (): never => {
  throw new RemoteError(CODE.authFailed, DOMAIN.rpc, 'authentication failed: authentication failed', {
    str1: 'authentication failed: %1$s',
    str2: 'authentication failed'
  })
}

/** What can be asked before a connection is open. */
export const door: DoorTable = {
  [REMOTE.authList]: ({ reply }) => void reply.array([AUTH_NONE], (xdr, method) => void xdr.i32(method)),
  [REMOTE.authSaslInit]: authFailed,
  [REMOTE.authSaslStart]: authFailed,
  [REMOTE.authSaslStep]: authFailed,
  [REMOTE.authPolkit]: authFailed,
  [REMOTE.connectOpen]: ({ client, args }) => {
    const uri = args.optional(readString)
    return client.open(uri, args.u32())
  },
  // The reply leaves before the link closes.
  [REMOTE.connectClose]: ({ client }) => queueMicrotask(() => client.connection.close()),
  [REMOTE.connectSupportsFeature]: ({ client, args, reply }) => {
    const feature = args.i32()
    if (feature === FEATURE_KEEPALIVE) client.connection.startPinging()
    else client.requireOpen()
    reply.bool(FEATURES.has(feature))
  }
}

const IDENTITY: Schema = {
  'user-name': PARAM.string,
  'unix-user-id': PARAM.ullong,
  'group-name': PARAM.string,
  'unix-group-id': PARAM.ullong,
  'process-id': PARAM.llong,
  'process-time': PARAM.ullong,
  'sasl-user-name': PARAM.string,
  'x509-distinguished-name': PARAM.string,
  'selinux-context': PARAM.string,
  'system.token': PARAM.string
}
const MAX_IDENTITY = 20

/** The connection itself. */
export const connectionHandlers: HandlerTable = {
  [REMOTE.connectGetType]: ({ reply }) => void reply.string('TEST'),
  [REMOTE.connectGetVersion]: ({ reply }) => void reply.u64(HYPERVISOR_VERSION),
  [REMOTE.connectGetLibVersion]: ({ reply }) => void reply.u64(LIBRARY_VERSION),
  [REMOTE.connectGetHostname]: ({ reply }) => void reply.string(hostname()),
  [REMOTE.connectGetUri]: ({ hypervisor, reply }) => void reply.string(hypervisor.uri),
  [REMOTE.connectIsSecure]: ({ reply }) => void reply.bool(true),
  // Nobody is told apart here, so an identity is only looked at.
  [REMOTE.connectSetIdentity]: ({ args }) => {
    const params = readParams(args, MAX_IDENTITY)
    args.u32()
    checkParams(params, IDENTITY)
  },
  [REMOTE.connectRegisterCloseCallback]: ({ client }) => client.setCloseCallback(true),
  [REMOTE.connectUnregisterCloseCallback]: ({ client }) => client.setCloseCallback(false)
}
