import { ADMIN } from '#protocol/procedures.js'
import { intParam, uintParam, writeParams, type TypedParam } from '#protocol/typed-params.js'
import { XdrWriter } from '#protocol/xdr.js'
import { clientName, optionalText, uints } from './admin-connection.js'

export const serverName = (name: string): XdrWriter => new XdrWriter().string(name)
export const flags = (value = 0): XdrWriter => new XdrWriter().u32(value)

/**
 * Calls of every procedure that looks at its flags, with the function that complains of them in libvirt. `server`: a name of
 * the daemon's; `client`: number of somebody who is connected to its server `admin`.
 */
export const FLAGGED: readonly [number, string, (bits: number, server: string, client: number) => XdrWriter][] = [
  [ADMIN.connectOpen, 'adminDispatchConnectOpen', flags],
  [ADMIN.connectListServers, 'adminConnectListServers', bits => flags(1).u32(bits)],
  [ADMIN.serverGetThreadpoolParameters, 'adminServerGetThreadPoolParameters', (bits, server) => serverName(server).u32(bits)],
  [ADMIN.serverSetThreadpoolParameters, 'adminServerSetThreadPoolParameters', (bits, server) => uints(server, {}, bits)],
  [ADMIN.serverListClients, 'adminServerListClients', (bits, server) => serverName(server).u32(1).u32(bits)],
  [ADMIN.serverLookupClient, 'adminServerLookupClient', (bits, _, client) => serverName('admin').u64(BigInt(client)).u32(bits)],
  [ADMIN.clientGetInfo, 'adminClientGetInfo', (bits, _, client) => clientName('admin', client).u32(bits)],
  [ADMIN.clientClose, 'adminClientClose', (bits, _, client) => clientName('admin', client).u32(bits)],
  [ADMIN.serverGetClientLimits, 'adminServerGetClientLimits', (bits, server) => serverName(server).u32(bits)],
  [ADMIN.serverSetClientLimits, 'adminServerSetClientLimits', (bits, server) => uints(server, {}, bits)],
  [ADMIN.connectGetLoggingOutputs, 'adminConnectGetLoggingOutputs', flags],
  [ADMIN.connectGetLoggingFilters, 'adminConnectGetLoggingFilters', flags],
  [ADMIN.connectSetLoggingOutputs, 'adminConnectSetLoggingOutputs', bits => optionalText('1:stderr', bits)],
  [ADMIN.connectSetLoggingFilters, 'adminConnectSetLoggingFilters', bits => optionalText('1:x', bits)],
  [ADMIN.serverUpdateTlsFiles, 'adminServerUpdateTlsFiles', (bits, server) => serverName(server).u32(bits)],
  [ADMIN.connectSetDaemonTimeout, 'adminConnectSetDaemonTimeout', bits => flags(1).u32(bits)],
  [ADMIN.connectDaemonShutdown, 'adminConnectDaemonShutdown', flags]
]

const NOBODY = 99_999n
const LOOKED_UP = "Server not found: No server named 'x'"
const MATCHED = "Server not found: no server with matching name 'x' found"

const params = (server: string, ...list: TypedParam[]): XdrWriter => writeParams(serverName(server), list).u32(0)

/** Calls that virt-admin does not make, and what libvirt says of them: code, domain and text. */
export const REFUSED: readonly [what: string, proc: number, args: (server: string) => XdrWriter, ...(number | string)[]][] = [
  ['a limit that is read-only', ADMIN.serverSetClientLimits, server => uints(server, { nclients: 1 }), 74, 0,
    "argument unsupported: parameter 'nclients' not supported"],
  ['a limit of another type', ADMIN.serverSetClientLimits, server => params(server, intParam('nclients_max', 1)), 8, 0,
    "invalid argument: invalid type 'int' for parameter 'nclients_max', expected 'uint'"],
  ['a limit twice', ADMIN.serverSetClientLimits,
    server => params(server, uintParam('nclients_max', 9), uintParam('nclients_max', 9)), 8, 0,
    "invalid argument: parameter 'nclients_max' occurs multiple times"],
  ['a limit below that of logins', ADMIN.serverSetClientLimits, server => uints(server, { nclients_max: 19 }), 8, 7,
    'invalid argument: The overall maximum number of clients must not be less than the number of clients waiting for authentication'],
  ['workers to be read only', ADMIN.serverSetThreadpoolParameters, server => uints(server, { nWorkers: 1 }), 74, 0,
    "argument unsupported: parameter 'nWorkers' not supported"],
  ['the name of a property', ADMIN.serverSetThreadpoolParameters, server => uints(server, { constructor: 1 }), 74, 0,
    "argument unsupported: parameter 'constructor' not supported"],
  ['more workers at least than at most', ADMIN.serverSetThreadpoolParameters, server => uints(server, { minWorkers: 1000 }), 8, 0,
    'invalid argument: minWorkers cannot be larger than maxWorkers'],
  ['no workers', ADMIN.serverSetThreadpoolParameters, server => uints(server, { minWorkers: 0, maxWorkers: 0 }), 8, 0,
    'invalid argument: maxWorkers must not be switched from zero to non-zero and vice versa'],
  ['a filter without a level', ADMIN.connectSetLoggingFilters, () => optionalText('qemu'), 8, 0,
    "invalid argument: Malformed format for filter 'qemu'"],
  ['an output of no kind', ADMIN.connectSetLoggingOutputs, () => optionalText('1:nope'), 8, 0,
    "invalid argument: Invalid log destination 'nope' for log output '1:nope'"],
  ['an output that cannot be opened', ADMIN.connectSetLoggingOutputs, () => optionalText('1:file:/x/y'), 38, 0,
    'failed to open /x/y: No such file or directory'],
  ['TLS files of a server without TLS', ADMIN.serverUpdateTlsFiles, server => serverName(server).u32(0), 1, 7,
    'internal error: no tls service found, unable to update tls files'],
  ['TLS files of the admin server', ADMIN.serverUpdateTlsFiles, () => serverName('admin').u32(0), 1, 7,
    'internal error: no tls service found, unable to update tls files'],
  ['to look up a server that is not there', ADMIN.connectLookupServer, () => serverName('x').u32(0), 95, 7, LOOKED_UP],
  ['workers of such a server', ADMIN.serverGetThreadpoolParameters, () => serverName('x').u32(0), 95, 7, LOOKED_UP],
  ['a change of its workers', ADMIN.serverSetThreadpoolParameters, () => uints('x', {}), 95, 62, MATCHED],
  ['its clients', ADMIN.serverListClients, () => serverName('x').u32(1).u32(0), 95, 7, LOOKED_UP],
  ['a client of it', ADMIN.serverLookupClient, () => serverName('x').u64(1n).u32(0), 95, 7, LOOKED_UP],
  ['to tell of a client of it', ADMIN.clientGetInfo, () => clientName('x', 1).u32(0), 95, 62, MATCHED],
  ['to close a client of it', ADMIN.clientClose, () => clientName('x', 1).u32(0), 95, 7, LOOKED_UP],
  ['its limits', ADMIN.serverGetClientLimits, () => serverName('x').u32(0), 95, 7, LOOKED_UP],
  ['a change of its limits', ADMIN.serverSetClientLimits, () => uints('x', {}), 95, 62, MATCHED],
  ['its TLS files', ADMIN.serverUpdateTlsFiles, () => serverName('x').u32(0), 95, 7, LOOKED_UP],
  ['to look up a client that is not there', ADMIN.serverLookupClient, server => serverName(server).u64(NOBODY).u32(0), 96, 7,
    "Client not found: No client with matching ID '99999'"],
  ['to tell of it', ADMIN.clientGetInfo, server => clientName(server, Number(NOBODY)).u32(0), 96, 62,
    "Client not found: no client with matching id '99999' found"],
  ['to close it', ADMIN.clientClose, server => clientName(server, Number(NOBODY)).u32(0), 96, 7,
    "Client not found: No client with matching ID '99999'"]
]
