import { readFileSync } from 'node:fs'

const CONNECTED = '03'

/** How many connections a daemon has accepted on a UNIX socket: each of its ends has the listener's path. */
export function socketConnections(path: string): number {
  const rows = readFileSync('/proc/net/unix', 'utf8').split('\n').map(line => line.trim().split(/\s+/))
  return rows.filter(([, , , , , state, , where]) => state === CONNECTED && where === path).length
}
