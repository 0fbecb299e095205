import type { BrokerClient, ClientPage, DriverList, OpenedDriver } from '../../protocol/messages/broker-admin.js'
import type { Client } from '../clients/clients.js'

/** Of a page, as JSON: it is made within a turn of the supervisor's loop, and its frame must not be too long. */
const MAX_PAGE_CHARACTERS = 128 * 1024
const MAX_NAME_CHARACTERS = 256
const MAX_DRIVERS = 256

export type Listed = Pick<Client, 'id' | 'since' | 'listener' | 'peer' | 'identity' | 'state' | 'opened' | 'thread'>

/** Those that came in after the one with that id, as many as there is room for. `all`: in the order of their ids. */
export function pageOf(all: Iterable<Listed>, after: number): ClientPage {
  const clients: BrokerClient[] = []
  let characters = 0
  for (const client of all) {
    if (client.id <= after) continue
    const described = shown(client)
    characters += JSON.stringify(described).length
    if (characters > MAX_PAGE_CHARACTERS) return { clients, more: true }
    clients.push(described)
  }
  return { clients, more: false }
}

/** By the number of clients. Beyond so many drivers the rest is summed up: clients choose what they open. */
export function driversOf(clients: Iterable<Pick<Listed, 'opened'>>): DriverList {
  const counts = new Map<string, number>()
  for (const { opened } of clients) if (opened !== undefined) counts.set(opened, (counts.get(opened) ?? 0) + 1)
  const all: OpenedDriver[] = Array.from(counts, ([driver, number]) => ({ driver, clients: number }))
  all.sort((one, other) => other.clients - one.clients)
  const others = all.slice(MAX_DRIVERS)
  return {
    drivers: all.slice(0, MAX_DRIVERS),
    others: { drivers: others.length, clients: others.reduce((sum, { clients: number }) => sum + number, 0) }
  }
}

function shown({ id, since, listener, peer, identity, state, opened, thread }: Listed): BrokerClient {
  const user = identity.saslUserName ?? identity.x509DistinguishedName ?? identity.userName
  return {
    id,
    since,
    listener: listener.name,
    transport: listener.transport,
    readonly: listener.readonly,
    peer,
    pid: identity.processId,
    user: user?.slice(0, MAX_NAME_CHARACTERS),
    state,
    driver: opened,
    thread
  }
}
