import type { Client } from '../clients/clients.js'
import { summaryOf } from '../clients/summary.js'
import { first } from './first.js'
import type { ClientRow, ClientTable } from './live-state.js'
import type { ClientQuery, SortedBy } from './query.js'
import type { Activity, Sample } from './sampler.js'

export type ListedClient = Pick<Client, 'id' | 'since' | 'listener' | 'peer' | 'identity' | 'state' | 'opened' | 'thread'>

/** The clients that are asked for, in the order that is asked for; those of whom that is not known come last. */
export function clientTable(clients: Iterable<ListedClient>, sample: Sample, query: ClientQuery): ClientTable {
  const keyOf = KEYS[query.sort]
  let matching = 0
  function* matches(): Generator<Candidate> {
    for (const client of clients) {
      if (query.filter !== '' && !textOf(client).includes(query.filter)) continue
      matching++
      const activity = sample.activity(client.id)
      yield { client, activity, key: keyOf(client, activity) }
    }
  }
  const wanted = first(matches(), query.rows, query.descending ? descending : ascending)
  return { rows: wanted.map(({ client, activity }) => rowOf(client, activity)), matching }
}

interface Candidate {
  readonly client: ListedClient
  readonly activity: Activity | undefined
  readonly key: Key
}

type Key = string | number | undefined

const addressOf = ({ peer, identity: { processId } }: ListedClient): string | undefined =>
  peer ?? (processId === undefined ? undefined : `pid ${processId}`)

const KEYS: Readonly<Record<SortedBy, (client: ListedClient, activity: Activity | undefined) => Key>> = {
  id: ({ id }) => id,
  user: client => summaryOf(client).user,
  address: addressOf,
  transport: ({ listener }) => listener.transport,
  driver: ({ opened }) => opened,
  state: ({ state }) => state,
  thread: ({ thread }) => thread,
  calls: (_, activity) => activity?.perSecond?.calls,
  inFlight: (_, activity) => activity && activity.inFlight + activity.waiting,
  oldest: (_, activity) => activity?.oldestMs,
  in: (_, activity) => activity?.perSecond?.in,
  out: (_, activity) => activity?.perSecond?.out
}

const ascending = (one: Candidate, other: Candidate): number => compare(one, other, one.key, other.key)
const descending = (one: Candidate, other: Candidate): number => compare(one, other, other.key, one.key)

function compare(one: Candidate, other: Candidate, lesser: Key, greater: Key): number {
  if (lesser === greater) return one.client.id - other.client.id
  if (one.key === undefined) return 1
  if (other.key === undefined) return -1
  return lesser! < greater! ? -1 : 1
}

/** What a filter is looked for in. */
function textOf(client: ListedClient): string {
  const { listener: { transport }, opened = '', state } = client
  return `${summaryOf(client).user ?? ''}\n${addressOf(client) ?? ''}\n${transport}\n${opened}\n${state}`.toLowerCase()
}

function rowOf(client: ListedClient, activity: Activity | undefined): ClientRow {
  const { id, since, user, listener: { transport, readonly }, state, opened, thread } = summaryOf(client)
  return { id, since, user, address: addressOf(client), transport, readonly, driver: opened, state, thread, activity }
}
