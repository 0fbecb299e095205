import { mkdirSync, readdirSync, existsSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { childrenOf } from '../system/children.js'
import { listening } from '../system/listening.js'
import { Program } from '../system/program.js'

/** Clients that every program here is told to take. */
export const MAX_CLIENTS = 20_000
/** Connections that may wait to be accepted; the kernel's own limit is usually lower. */
export const BACKLOG = 10_000

/** The driver daemon behind a peer. */
export interface Driver {
  readonly title: string
  /** Its own; what it needs besides can be put there. */
  readonly directory: string
  readonly socket: string
  readonly pids: readonly number[]
  stop(): Promise<void>
}

export type DriverKind = 'libvirtd' | 'embedded' | 'answering'

/** Lines of libvirtd.conf for a daemon in `directory` that asks nobody who he is. */
export function libvirtdConf(directory: string, more: readonly string[] = []): string {
  return [
    `unix_sock_dir = "${directory}"`,
    'auth_unix_rw = "none"',
    'auth_unix_ro = "none"',
    `max_clients = ${MAX_CLIENTS}`,
    `max_queued_clients = ${BACKLOG}`,
    'max_anonymous_clients = 0',
    'log_outputs = "3:stderr"',
    ...more,
    ''
  ].join('\n')
}

/**
 * A real libvirtd with its test driver and, if wanted, the storage driver. As root it gets directories of its own in
 * the places that are compiled into it, in a mount namespace of its own: it leaves nothing behind.
 */
export async function startLibvirtdDriver(directory: string, storage: boolean): Promise<Driver> {
  const drivers = path.join(directory, 'drivers')
  mkdirSync(drivers, { recursive: true })
  if (storage) symlinkSync(storageModule(), path.join(drivers, 'libvirt_driver_storage.so'))
  const conf = path.join(directory, 'libvirtd.conf')
  writeFileSync(conf, libvirtdConf(directory))
  const argv = ['libvirtd', '-f', conf, '-p', path.join(directory, 'pid')]
  const program = new Program(inPrivatePlaces(directory, argv), privateEnvironment(directory, drivers))
  const socket = path.join(directory, 'libvirt-sock')
  await listening(program, { path: socket })
  const title = storage ? 'libvirtd with test and storage driver' : 'libvirtd with test driver'
  return { title, directory, socket, pids: [program.pid], stop: () => program.stop() }
}

/** The broker's own test driver, in a broker that nobody else uses. */
export async function startEmbeddedDriver(directory: string, executable: string): Promise<Driver> {
  mkdirSync(directory, { recursive: true })
  const conf = path.join(directory, 'virtbrokerd.conf')
  writeFileSync(conf, libvirtdConf(directory, ['embedded_test_driver = 1', 'actor_threads = 1', 'driver_sharing = "off"']))
  const program = new Program([process.execPath, executable, '-f', conf, '-p', path.join(directory, 'pid')])
  const socket = path.join(directory, 'libvirt-sock')
  await listening(program, { path: socket })
  // The driver is a process of that broker's.
  const pids = [program.pid, ...childrenOf(program.pid)]
  return { title: 'embedded test driver', directory, socket, pids, stop: () => program.stop() }
}

const answerer = new URL('../driver/answerer.js', import.meta.url).pathname

/** A driver that does nothing but answer: see answerer.ts. */
export async function startAnsweringDriver(directory: string): Promise<Driver> {
  mkdirSync(directory, { recursive: true })
  const socket = path.join(directory, 'libvirt-sock')
  const program = new Program([process.execPath, answerer, socket])
  await listening(program, { path: socket })
  return { title: 'answering driver', directory, socket, pids: [program.pid], stop: () => program.stop() }
}

/** Folders that libvirtd keeps state in, as root. */
const PLACES = ['/run/libvirt', '/etc/libvirt', '/var/lib/libvirt', '/var/cache/libvirt', '/var/log/libvirt']

function inPrivatePlaces(directory: string, argv: readonly string[]): string[] {
  if (process.getuid?.() !== 0) return [...argv]
  const steps = PLACES.map((place, i) => {
    const own = path.join(directory, `place-${i}`)
    mkdirSync(own)
    return `mkdir -p ${place} && mount --bind ${own} ${place}`
  })
  // `exec` all the way: the process that we know is the daemon itself.
  const script = [...steps, 'exec "$0" "$@"'].join(' && ')
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, ...argv]
}

export function privateEnvironment(directory: string, drivers: string): NodeJS.ProcessEnv {
  const home = path.join(directory, 'home')
  mkdirSync(home, { recursive: true })
  return {
    ...process.env,
    LC_ALL: 'C',
    LIBVIRT_DRIVER_DIR: drivers,
    HOME: home,
    XDG_CONFIG_HOME: home,
    XDG_CACHE_HOME: home,
    XDG_RUNTIME_DIR: home
  }
}

/** Debian keeps a driver's module below a folder named after the architecture. */
function storageModule(): string {
  for (const folder of readdirSync('/usr/lib')) {
    const file = `/usr/lib/${folder}/libvirt/connection-driver/libvirt_driver_storage.so`
    if (existsSync(file)) return file
  }
  throw new Error('libvirtd has no storage driver here (Debian: in libvirt-daemon)')
}
