import type { KeyName, Settings } from './keys.js'

/** What a broker can listen for. */
export type ListenerName = 'main' | 'readonly' | 'admin' | 'tcp' | 'tls'

/** A listening socket that was there before this process: systemd has made it, and keeps it. */
export interface PassedSocket {
  readonly fd: number
  /** The path (`@` begins an abstract name), or `address:port`. */
  readonly place: string
  /** Permission bits of a UNIX socket's file, else the numeric address. */
  readonly reach: { readonly mode: number } | { readonly ip: string }
}

/** Those of each listener, at least one. Where there are any, the broker makes no others. */
export type PassedSockets = ReadonlyMap<ListenerName, readonly PassedSocket[]>

/** Keys that say where to listen, and as what. They say nothing about sockets that are there already. */
export const PLACE_KEYS = [
  'listen_tls', 'listen_tcp', 'tls_port', 'tcp_port', 'listen_addr',
  'unix_sock_group', 'unix_sock_ro_perms', 'unix_sock_rw_perms', 'unix_sock_admin_perms', 'unix_sock_dir'
] as const satisfies readonly KeyName[]

/** The settings with what holds for passed sockets in the place of what the file says. */
export function overruled(settings: Settings, passed: PassedSockets): Settings {
  const mode = (name: ListenerName, otherwise: string): string => widest(passed.get(name))?.toString(8) ?? otherwise
  return {
    ...settings,
    listenTcp: passed.has('tcp'),
    listenTls: passed.has('tls'),
    listenAddr: farthest([...(passed.get('tcp') ?? []), ...(passed.get('tls') ?? [])]),
    unixSockRwPerms: mode('main', '0'),
    unixSockRoPerms: mode('readonly', '0'),
    unixSockAdminPerms: mode('admin', '0')
  }
}

function widest(sockets: readonly PassedSocket[] = []): number | undefined {
  const modes = sockets.flatMap(({ reach }) => ('mode' in reach ? [reach.mode] : []))
  return modes.length === 0 ? undefined : modes.reduce((all, mode) => all | mode)
}

/** An address that others can reach, if there is one. */
function farthest(sockets: readonly PassedSocket[]): string | undefined {
  const addresses = sockets.flatMap(({ reach }) => ('ip' in reach ? [reach.ip] : []))
  return addresses.find(ip => !isLoopback(ip)) ?? addresses[0]
}

/** Whether an address is only reachable from this host; no address at all means all addresses. */
export const isLoopback = (address: string | undefined): boolean =>
  address !== undefined && /^(localhost|127(\.\d{1,3}){3}|::1)$/.test(address)
