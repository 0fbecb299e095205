import { checkFlags, checkParams, type Schema } from '../../protocol/bad-arguments.js'
import { DOMAIN } from '../../protocol/errors.js'
import { ADMIN_TRANSPORT, MAX_ADMIN_LIST, MAX_ADMIN_PARAMS, readAdminClient, writeAdminClient } from '../../protocol/messages/admin.js'
import { ADMIN } from '../../protocol/procedures.js'
import { PARAM, readParams, uintParam, writeParams } from '../../protocol/typed-params.js'
import type { XdrReader, XdrWriter } from '../../protocol/xdr.js'
import type { Call, Procedure } from '../../workers/serving/dispatch.js'
import type { ClientRecord } from '../../workers/thread/client-record.js'
import { filtersText, outputsText, parseFilters, parseOutputs } from '../config/log-settings.js'
import type { AdminClient } from './admin-client.js'
import { clientInfo } from './client-info.js'
import {
  asRemote, fewerThanUnauthenticated, noClient, noMatchingClient, noMatchingServer, noServer, noTlsService, tooMany
} from './failures.js'
import type { AdminServer, BrokerControl } from './ports.js'

/** The release whose admin program this is: major · 1 000 000 + minor · 1000 + micro. */
const LIBRARY_VERSION = 12_008_000n
/** Of a shutdown: the state of guests is to be kept, which is none of a broker's business. */
const PRESERVE = 1
/** A timer of libvirt's counts milliseconds in a C int. */
const MAX_TIMEOUT = Math.floor((2 ** 31 - 1) / 1000)

const THREAD_POOL: Schema = { minWorkers: PARAM.uint, maxWorkers: PARAM.uint, prioWorkers: PARAM.uint }
const CLIENT_LIMITS: Schema = { nclients_max: PARAM.uint, nclients_unauth_max: PARAM.uint }

type AdminCall = Call<AdminClient>

/** `cFunction`: who complains in libvirt. */
const noFlags = (xdr: XdrReader, cFunction: string): void => checkFlags(xdr.u32(), 0, cFunction, DOMAIN.admin)

/** The values that are given, by name, of a list that the schema allows. */
function readUints(xdr: XdrReader, schema: Schema): () => Readonly<Record<string, number>> {
  const params = readParams(xdr, MAX_ADMIN_PARAMS)
  return () => {
    checkParams(params, schema)
    return Object.fromEntries(params.map(({ field, value }) => [field, Number(value)]))
  }
}

const writeUints = (reply: XdrWriter, figures: Readonly<Record<string, number>>): void =>
  void writeParams(reply, Object.entries(figures).map(([field, value]) => uintParam(field, value)))

const writeClient = (xdr: XdrWriter, { name }: AdminServer, { id, since, listener }: ClientRecord): void =>
  writeAdminClient(xdr, name, id, Math.floor(since / 1000), ADMIN_TRANSPORT[listener.transport])

/** The admin program, by procedure number. In each, checks are made in libvirt's order, as its answers show it. */
export function adminProgram(servers: readonly AdminServer[], broker: BrokerControl): readonly (Procedure<AdminClient> | undefined)[] {
  const serverNamed = (name: string, missing = noServer): AdminServer => {
    const server = servers.find(candidate => candidate.name === name)
    if (server === undefined) throw missing(name)
    return server
  }
  const clientOf = ({ clients }: AdminServer, id: bigint, missing = noClient): ClientRecord => {
    const client = clients.get(Number(id))
    if (client === undefined) throw missing(id)
    return client
  }

  const serverProcedures: Readonly<Record<number, Procedure<AdminClient>>> = {
    [ADMIN.connectListServers]: ({ args, reply }) => {
      const wanted = args.u32() !== 0
      noFlags(args, 'adminConnectListServers')
      reply.array(wanted ? servers : [], (xdr, { name }) => void xdr.string(name)).u32(servers.length)
    },
    // It takes any flags.
    [ADMIN.connectLookupServer]: ({ args, reply }) => {
      const { name } = serverNamed(args.string())
      reply.string(name)
    },
    [ADMIN.serverGetThreadpoolParameters]: ({ args, reply }) => {
      const server = serverNamed(args.string())
      noFlags(args, 'adminServerGetThreadPoolParameters')
      writeUints(reply, server.threadPool())
    },
    [ADMIN.serverSetThreadpoolParameters]: ({ args }) => {
      const name = args.string()
      const wanted = readUints(args, THREAD_POOL)
      const flags = args.u32()
      const server = serverNamed(name, noMatchingServer)
      checkFlags(flags, 0, 'adminServerSetThreadPoolParameters', DOMAIN.admin)
      return server.changeThreadPool(wanted())
    },
    [ADMIN.serverGetClientLimits]: ({ args, reply }) => {
      const { limits, clients } = serverNamed(args.string())
      noFlags(args, 'adminServerGetClientLimits')
      const { maxClients, maxAnonymousClients } = broker.limits(limits)
      writeUints(reply, {
        nclients_max: maxClients,
        nclients: clients.size,
        nclients_unauth_max: maxAnonymousClients,
        nclients_unauth: clients.unauthenticated
      })
    },
    [ADMIN.serverSetClientLimits]: ({ args }) => {
      const name = args.string()
      const wanted = readUints(args, CLIENT_LIMITS)
      const flags = args.u32()
      const { limits } = serverNamed(name, noMatchingServer)
      checkFlags(flags, 0, 'adminServerSetClientLimits', DOMAIN.admin)
      const { nclients_max, nclients_unauth_max } = wanted()
      return broker.changeLimits(limits, now => {
        const maxClients = nclients_max ?? now.maxClients
        const maxAnonymousClients = nclients_unauth_max ?? now.maxAnonymousClients
        if (maxClients < maxAnonymousClients) throw fewerThanUnauthenticated()
        return { maxClients, maxAnonymousClients }
      })
    },
    [ADMIN.serverUpdateTlsFiles]: async ({ args }) => {
      const { tls } = serverNamed(args.string())
      noFlags(args, 'adminServerUpdateTlsFiles')
      if (!tls) throw noTlsService()
      await broker.updateTls().catch((error: unknown) => Promise.reject(asRemote(error, DOMAIN.rpc) as Error))
    }
  }

  const clientProcedures: Readonly<Record<number, Procedure<AdminClient>>> = {
    [ADMIN.serverListClients]: ({ args, reply }) => {
      const server = serverNamed(args.string())
      const wanted = args.u32() !== 0
      noFlags(args, 'adminServerListClients')
      const { size } = server.clients
      if (wanted && size > MAX_ADMIN_LIST) throw tooMany('clients', size, MAX_ADMIN_LIST)
      reply.array(wanted ? [...server.clients.all()] : [], (xdr, client) => writeClient(xdr, server, client)).u32(size)
    },
    [ADMIN.serverLookupClient]: ({ args, reply }) => {
      const name = args.string()
      const id = args.u64()
      const server = serverNamed(name)
      noFlags(args, 'adminServerLookupClient')
      writeClient(reply, server, clientOf(server, id))
    },
    [ADMIN.clientGetInfo]: async ({ args, reply }) => {
      const { server: name, id } = readAdminClient(args)
      const flags = args.u32()
      const { clients } = serverNamed(name, noMatchingServer)
      const client = clients.get(Number(id))
      if (client === undefined) throw noMatchingClient(id)
      checkFlags(flags, 0, 'adminClientGetInfo', DOMAIN.admin)
      const details = await clients.details(client)
      writeParams(reply, [...clientInfo(client), ...details])
    },
    [ADMIN.clientClose]: ({ args }) => {
      const { server: name, id } = readAdminClient(args)
      const flags = args.u32()
      const server = serverNamed(name)
      const client = clientOf(server, id)
      checkFlags(flags, 0, 'adminClientClose', DOMAIN.admin)
      return server.clients.disconnect(client)
    }
  }

  const connectionProcedures: Readonly<Record<number, Procedure<AdminClient>>> = {
    [ADMIN.connectOpen]: ({ args }) => noFlags(args, 'adminDispatchConnectOpen'),
    // The reply leaves before the connection closes.
    [ADMIN.connectClose]: ({ client }) => queueMicrotask(() => client.connection.close()),
    [ADMIN.connectGetLibVersion]: ({ reply }) => void reply.u64(LIBRARY_VERSION),
    [ADMIN.connectGetLoggingOutputs]: ({ args, reply }) => {
      noFlags(args, 'adminConnectGetLoggingOutputs')
      const { outputs } = broker.log
      reply.string(outputsText(outputs)).u32(outputs.length)
    },
    [ADMIN.connectGetLoggingFilters]: ({ args, reply }) => {
      noFlags(args, 'adminConnectGetLoggingFilters')
      const { filters } = broker.log
      const text = filters.length === 0 ? undefined : filtersText(filters)
      reply.optional(text, (xdr, value) => void xdr.string(value)).u32(filters.length)
    },
    [ADMIN.connectSetLoggingOutputs]: call => changeLog(call, 'adminConnectSetLoggingOutputs', text => ({ outputs: parseOutputs(text) })),
    [ADMIN.connectSetLoggingFilters]: call => changeLog(call, 'adminConnectSetLoggingFilters', text => ({ filters: parseFilters(text) })),
    [ADMIN.connectSetDaemonTimeout]: ({ args }) => {
      const seconds = args.u32()
      noFlags(args, 'adminConnectSetDaemonTimeout')
      broker.setTimeout(Math.min(seconds, MAX_TIMEOUT))
    },
    [ADMIN.connectDaemonShutdown]: ({ args }) => {
      checkFlags(args.u32(), PRESERVE, 'adminConnectDaemonShutdown', DOMAIN.admin)
      // Once the reply is out.
      setImmediate(() => broker.shutDown())
    }
  }

  const changeLog = async (
    { args }: AdminCall,
    cFunction: string,
    parse: (text: string) => Parameters<BrokerControl['changeLog']>[0]
  ): Promise<void> => {
    const text = args.optional(xdr => xdr.string()) ?? ''
    noFlags(args, cFunction)
    try {
      await broker.changeLog(parse(text))
    } catch (error) {
      throw asRemote(error, DOMAIN.none)
    }
  }

  const program: (Procedure<AdminClient> | undefined)[] = []
  for (const [number, procedure] of Object.entries({ ...serverProcedures, ...clientProcedures, ...connectionProcedures })) {
    program[Number(number)] = procedure
  }
  return program
}
