import { PROGRAM } from '../../protocol/header.js'
import { BROKER_PROGRAM } from '../../protocol/messages/broker-admin.js'
import { AccountNames } from '../../workers/names/account-names.js'
import { adminProgram } from '../admin/procedures.js'
import { AdminSocket, type AdminHost } from '../admin/admin-socket.js'
import { brokerProgram, type WatchedCalls } from '../admin/broker-program.js'
import { BrokerServer, type AdministeredThreads } from '../admin/broker-server.js'
import { OwnServer } from '../admin/own-server.js'
import type { Clients } from '../clients/clients.js'
import type { ClosedClients } from '../clients/closed-clients.js'
import { version } from '../config/version.js'
import type { Logger } from '../log/logger.js'
import type { NameService } from '../threads/name-service.js'
import { AdminControl, type LifeControl, type LiveSettings } from './admin-control.js'

/** What administrators see and change. */
export interface Administered {
  readonly clients: Clients
  readonly closed: ClosedClients
  readonly threads: AdministeredThreads
  readonly names: NameService
  readonly logger: Logger
  readonly live: LiveSettings
  readonly watched: WatchedCalls
  readonly life: LifeControl
}

export function makeAdminSocket(host: AdminHost, administered: Administered): AdminSocket {
  const { clients, closed, threads, names, logger, live, life, watched } = administered
  const { adminLimits, actor } = live.settings
  const socket = new AdminSocket(host, adminLimits)
  const clock = { get now() { return performance.now() } }
  const accounts = new AccountNames(names.connect(), clock, actor.superuser)
  // A start that fails is not to go on for its sake.
  accounts.port.unref()
  const servers = [new BrokerServer(clients, threads), new OwnServer(socket.clients, accounts)]
  const control = new AdminControl(logger, live, life)
  const operated = { clients, closed, followed: logger.followed, threads, control, life, watched, adminClients: socket.clients, version }
  socket.serve(new Map([[PROGRAM.admin, adminProgram(servers, control)], [BROKER_PROGRAM, brokerProgram(operated)]]))
  return socket
}
