import { readdirSync } from 'node:fs'

/** What the limit of open files has to be shared by. */
export interface DescriptorNeeds {
  limit: number
  /** Open while no client is there. */
  inUse: number
  listeners: number
  maxClients: number
}

/** What there are descriptors for. */
export interface DescriptorPlan {
  clients: number
  /** Of each listener, beyond `clients`. */
  guaranteed: number
  /** Of root, beyond both. */
  root: number
  /** Connections that may wait for a place: of all listeners together, and of each beyond that. */
  waiting: number
  waitingGuaranteed: number
  /** Descriptors from this number on are left to logs, files and the clients' calls. */
  firstReserved: number
  /** There are fewer than `max_clients` would need. */
  short: boolean
}

/** A client's own, and one to its driver daemon. */
const PER_CLIENT = 2
const ROOT_PLACES = 16
const MAX_GUARANTEED = 32
const MAX_WAITING_GUARANTEED = 64

/** Clients get what they need first; connections that wait get from what is left. */
export function planDescriptors({ limit, inUse, listeners, maxClients }: DescriptorNeeds): DescriptorPlan {
  const reserved = Math.min(64, Math.max(4, Math.floor(limit / 32)))
  const firstReserved = limit - reserved
  const free = Math.max(0, firstReserved - inUse)
  const others = listeners - 1
  const needed = PER_CLIENT * (maxClients + others * guaranteedOf(maxClients) + ROOT_PLACES) + listeners * MAX_WAITING_GUARANTEED
  if (free >= needed) {
    return {
      clients: maxClients,
      guaranteed: guaranteedOf(maxClients),
      root: ROOT_PLACES,
      waiting: Math.min(maxClients, free - needed),
      waitingGuaranteed: MAX_WAITING_GUARANTEED,
      firstReserved,
      short: false
    }
  }
  const waitingGuaranteed = Math.min(MAX_WAITING_GUARANTEED, Math.floor(free / 32))
  const all = Math.floor((free - listeners * waitingGuaranteed) / PER_CLIENT)
  const root = Math.min(ROOT_PLACES, Math.ceil(all / 16))
  let clients = Math.min(maxClients, all - root)
  while (clients + others * guaranteedOf(clients) + root > all) clients--
  return { clients, guaranteed: guaranteedOf(clients), root, waiting: 0, waitingGuaranteed, firstReserved, short: clients < maxClients }
}

const guaranteedOf = (clients: number): number => Math.min(MAX_GUARANTEED, Math.ceil(clients / 16))

/** Not counting the one with which they are read. */
export const openFiles = (): number => readdirSync('/proc/self/fd').length - 1
