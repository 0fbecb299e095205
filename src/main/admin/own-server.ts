import { isDeepStrictEqual } from 'node:util'
import { unsupportedArgument } from '../../protocol/bad-arguments.js'
import type { TypedParam } from '../../protocol/typed-params.js'
import type { ClientRecord } from '../../workers/thread/client-record.js'
import type { AdminClient } from './admin-client.js'
import { checkedBounds } from './thread-pool.js'
import type { AdminServer, ServerClients, ThreadPool, WantedThreadPool } from './ports.js'

/** Names of users and groups by their ids. */
export interface Names {
  get(kind: 'user' | 'group', id: number): Promise<string | undefined>
}

/** The supervisor, which answers whoever asks. */
const ONE: ThreadPool = { minWorkers: 1, maxWorkers: 1, nWorkers: 1, freeWorkers: 0, prioWorkers: 0, jobQueueDepth: 0 }

/** The server `admin`: the admin socket as it is seen on the admin socket. */
export class OwnServer implements AdminServer {
  readonly name = 'admin'
  readonly limits = 'admin'
  readonly tls = false
  readonly clients: ServerClients

  constructor(clients: ReadonlyMap<number, AdminClient>, names: Names) {
    this.clients = new OwnClients(clients, names)
  }

  threadPool(): ThreadPool {
    return ONE
  }

  changeThreadPool(wanted: WantedThreadPool): void {
    const would = checkedBounds(wanted, ONE)
    if (!isDeepStrictEqual(would, ONE)) throw unsupportedArgument('the admin socket is served by one thread')
  }
}

class OwnClients implements ServerClients {
  readonly unauthenticated = 0

  constructor(
    readonly clients: ReadonlyMap<number, AdminClient>,
    readonly names: Names
  ) {}

  get size(): number {
    return this.clients.size
  }

  all(): Iterable<ClientRecord> {
    return this.clients.values()
  }

  get(id: number): ClientRecord | undefined {
    return this.clients.get(id)
  }

  /** Their names are looked up only now. */
  async details(client: ClientRecord): Promise<readonly TypedParam[]> {
    const { userId, groupId } = client.identity
    const [userName, groupName] = await Promise.all([this.names.get('user', userId!), this.names.get('group', groupId!)])
    client.identity = {
      ...client.identity,
      ...(userName !== undefined && { userName }),
      ...(groupName !== undefined && { groupName })
    }
    return []
  }

  disconnect({ id }: ClientRecord): void {
    this.clients.get(id)?.connection.close()
  }
}
