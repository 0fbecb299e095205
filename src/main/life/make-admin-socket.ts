import { PROGRAM } from '../../protocol/header.js'
import { AccountNames } from '../../workers/names/account-names.js'
import { adminProgram } from '../admin/procedures.js'
import { AdminSocket, type AdminHost } from '../admin/admin-socket.js'
import { BrokerServer, type AdministeredThreads } from '../admin/broker-server.js'
import { OwnServer } from '../admin/own-server.js'
import type { Clients } from '../clients/clients.js'
import type { Logger } from '../log/logger.js'
import type { NameService } from '../threads/name-service.js'
import { AdminControl, type EndControl, type LiveSettings } from './admin-control.js'

/** What administrators see and change. */
export interface Administered {
  readonly clients: Clients
  readonly threads: AdministeredThreads
  readonly names: NameService
  readonly logger: Logger
  readonly live: LiveSettings
  readonly end: EndControl
}

export function makeAdminSocket(host: AdminHost, { clients, threads, names, logger, live, end }: Administered): AdminSocket {
  const { adminLimits, actor } = live.settings
  const socket = new AdminSocket(host, adminLimits)
  const clock = { get now() { return performance.now() } }
  const accounts = new AccountNames(names.connect(), clock, actor.superuser)
  // A start that fails is not to go on for its sake.
  accounts.port.unref()
  const servers = [new BrokerServer(clients, threads), new OwnServer(socket.clients, accounts)]
  socket.serve(new Map([[PROGRAM.admin, adminProgram(servers, new AdminControl(logger, live, end))]]))
  return socket
}
