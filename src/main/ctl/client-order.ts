import type { BrokerClient } from '../../protocol/messages/broker-admin.js'

export const SORTED_BY = ['id', 'since', 'listener', 'peer', 'user', 'state', 'driver', 'thread'] as const

export function compareValues(one: string | number | boolean | undefined, other: string | number | boolean | undefined): number {
  if (typeof one === 'number' && typeof other === 'number') return one - other
  return String(one ?? '').localeCompare(String(other ?? ''))
}

/** Where a client is. */
export const from = ({ peer, pid }: Pick<BrokerClient, 'peer' | 'pid'>): string | undefined =>
  peer ?? (pid === undefined ? undefined : `pid ${pid}`)
