import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { ADDRESS_BYTES, writeIpAddress } from './address.js'
import { Memory } from './libc.js'

/** What /proc tells of a process, for people to read. */
export interface ProcessInfo {
  /** What it is called; of a program of Node's the script. Undefined if the process is gone. */
  program: string | undefined
  /** The system service of systemd's that it belongs to. */
  service: string | undefined
}

export function processInfo(pid: number): ProcessInfo {
  return { program: programOf(pid), service: serviceOf(pid) }
}

function programOf(pid: number): string | undefined {
  const name = read(`/proc/${pid}/comm`)?.trim()
  const [program = '', ...args] = read(`/proc/${pid}/cmdline`)?.split('\0') ?? []
  if (basename(program) !== basename(process.execPath)) return name
  const script = args.find(argument => !argument.startsWith('-'))
  return script === undefined ? name : basename(script).replace(/\.js$/, '')
}

/** From the control groups; those of a user's session are none of the system's. */
function serviceOf(pid: number): string | undefined {
  return /\/system\.slice\/(?:.*\/)?([^/\n]+\.service)$/m.exec(read(`/proc/${pid}/cgroup`) ?? '')?.[1]
}

/** Columns of /proc/net/tcp and tcp6, and their state of a listening socket. */
const LOCAL = 1
const STATE = 3
const TCP_INODE = 9
const LISTENING = '0A'

/** Who listens on a TCP port where `ip` cannot be bound for it. Undefined if that is not to be seen. */
export function tcpListener(ip: string, port: number): number | undefined {
  const wantedPort = port.toString(16).toUpperCase().padStart(4, '0')
  const own = hexAddress(ip)
  // What listens on all addresses of IPv6 may have those of IPv4 too.
  const files = ip.includes(':') ? ['tcp6'] : ['tcp', 'tcp6']
  for (const columns of files.flatMap(file => rows(read(`/proc/net/${file}`) ?? '')).map(line => line.trim().split(/\s+/))) {
    const [address = '', itsPort] = columns[LOCAL]?.split(':') ?? []
    const meets = address === own || ALL.test(address) || ALL.test(own)
    if (columns[STATE] !== LISTENING || itsPort !== wantedPort || !meets) continue
    const pid = holderOf(columns[TCP_INODE]!)
    if (pid !== undefined) return pid
  }
  return undefined
}

const ALL = /^0+$/
const address = new Memory(ADDRESS_BYTES)

/** As /proc/net/tcp has it: words of the host's byte order. */
function hexAddress(ip: string): string {
  writeIpAddress(address, ip, 0)
  const words = ip.includes(':') ? [8, 12, 16, 20] : [4]
  return words.map(at => address.bytes.readUInt32LE(at).toString(16).toUpperCase().padStart(8, '0')).join('')
}

/** Where the kernel lists UNIX sockets, its columns, and its flag of a listening socket. */
export const UNIX_SOCKETS = '/proc/net/unix'
const FLAGS = 3
const UNIX_INODE = 6
const PATH = 7
const ACCEPTS = 0x10000

/** Who listens at the path of a UNIX socket, where it cannot be asked for that. */
export function unixListener(path: string): number | undefined {
  for (const listening of listeningUnixSockets(read(UNIX_SOCKETS) ?? '')) {
    const pid = listening.path === path ? holderOf(listening.inode) : undefined
    if (pid !== undefined) return pid
  }
  return undefined
}

/** The sockets that listen, of our own network name space: of a container's host they are not seen. `text`: of UNIX_SOCKETS. */
export function listeningUnixSockets(text: string): { path: string; inode: string }[] {
  return rows(text)
    .map(line => line.split(/\s+/))
    .filter(columns => (parseInt(columns[FLAGS]!, 16) & ACCEPTS) !== 0)
    .map(columns => ({ path: columns.slice(PATH).join(' '), inode: columns[UNIX_INODE]! }))
}

const rows = (text: string): string[] => text.split('\n').slice(1, -1)

/** The process that has a socket open. systemd keeps those that it has handed over, so its own is the last guess. */
function holderOf(inode: string): number | undefined {
  const wanted = `socket:[${inode}]`
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number)
  const others = pids.filter(pid => pid !== 1)
  return [...others, 1].find(pid => descriptors(pid).some(fd => linkOf(`/proc/${pid}/fd/${fd}`) === wanted))
}

function descriptors(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`)
  } catch {
    // Gone, or another user's.
    return []
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
