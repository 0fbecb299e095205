import { CLIENT_STATES, type ClientRecord } from '../../workers/thread/client-record.js'
import { ACCESS, TRANSPORTS } from '../../workers/thread/metric-families.js'
import { gauge, only, type Sample, type Source } from './metric.js'

/** Those who are connected. */
export interface MeasuredClients {
  readonly unauthenticated: number
  all(): Iterable<Pick<ClientRecord, 'listener' | 'state'>>
}

/** Clients, next to what limits them. */
export interface ClientFigures {
  readonly clients: MeasuredClients
  /** Connections that wait for a place. */
  readonly waiting: () => number
  /** Of each socket of a listener: connections that wait to be accepted, and how many may. */
  readonly queues: () => readonly { readonly listener: string; readonly waiting: number; readonly limit: number }[]
  readonly limits: () => { readonly maxClients: number; readonly maxAnonymousClients: number; readonly maxHandshakes: number }
}

const COMBINATIONS = TRANSPORTS.flatMap(transport =>
  ACCESS.flatMap(access => CLIENT_STATES.map(state => `${transport} ${access} ${state}`))
)

export const clientSource = ({ clients, waiting, queues, limits }: ClientFigures): Source => () => {
  const counts = new Map(COMBINATIONS.map(key => [key, 0]))
  for (const { listener, state } of clients.all()) {
    const key = `${listener.transport} ${listener.readonly ? 'ro' : 'rw'} ${state}`
    counts.set(key, counts.get(key)! + 1)
  }
  const { maxClients, maxAnonymousClients, maxHandshakes } = limits()
  const samples = [...counts].map(([key, value]) => {
    const [transport = '', access = '', state = ''] = key.split(' ')
    return { labels: { transport, access, state }, value }
  })
  return [
    gauge('clients', 'Clients that are connected.', samples),
    gauge('clients_unauthenticated', 'Those of them that have still to log in.', only(clients.unauthenticated)),
    gauge('clients_waiting', 'Connections that wait for a place.', only(waiting())),
    gauge('listen_queue', 'Connections that wait to be accepted.', byListener(queues(), 'waiting')),
    gauge('listen_queue_limit', 'How many may.', byListener(queues(), 'limit')),
    gauge('clients_limit', 'How many there may be; 0 is no limit.', [
      { labels: { limit: 'max_clients' }, value: maxClients },
      { labels: { limit: 'max_anonymous_clients' }, value: maxAnonymousClients },
      { labels: { limit: 'max_handshakes' }, value: maxHandshakes }
    ])
  ]
}

/** A listener for all addresses has a socket for each family. */
function byListener(queues: ReturnType<ClientFigures['queues']>, what: 'waiting' | 'limit'): Sample[] {
  const sums = new Map<string, number>()
  for (const queue of queues) sums.set(queue.listener, (sums.get(queue.listener) ?? 0) + queue[what])
  return [...sums].map(([listener, value]) => ({ labels: { listener }, value }))
}
