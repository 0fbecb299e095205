import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Address, Target } from '../load/orders.js'
import { freePort, listening } from '../system/listening.js'
import { Program } from '../system/program.js'
import type { Certificates } from './certificates.js'
import { BACKLOG, libvirtdConf, privateEnvironment, type Driver } from './driver.js'

/** `base`: the broker of the revision that is compared with. */
export type PeerName = 'virtbroker' | 'base' | 'haproxy' | 'libvirtd' | 'direct'

/** What stands between the clients and the driver. */
export interface Peer {
  readonly name: PeerName
  /** Nobody else's: clients of other peers, idle as they are, would cost it time in each of its turns. */
  readonly driver: Driver
  /** Of what stands in the middle; undefined for no such process. */
  readonly pid: number | undefined
  /** Where clients come in over a UNIX socket; undefined where they do not. */
  readonly socket?: string
  /** Where a client connects, and the name that it opens, to reach `uri` of the driver. */
  target(uri: string): Target
  stop(): Promise<void>
}

/** Clients talk to the driver's socket itself. */
export function direct(driver: Driver): Peer {
  return {
    name: 'direct',
    driver,
    pid: undefined,
    socket: driver.socket,
    target: uri => ({ address: { path: driver.socket }, name: uri }),
    stop: () => Promise.resolve()
  }
}

/** The socket of a broker's metrics, in its directory. */
export const metricsIn = (directory: string): string => path.join(directory, 'metrics')

/** As in `StageWish`. */
interface BrokerWish {
  threads: number | undefined
  sharing: boolean
  collapsing: boolean
  metrics: boolean
  slowCalls: boolean
}

export async function startBroker(
  name: 'virtbroker' | 'base',
  executable: string,
  directory: string,
  driver: Driver,
  { threads, sharing, collapsing, metrics, slowCalls }: BrokerWish,
  tls: Certificates | undefined
): Promise<Peer> {
  mkdirSync(directory, { recursive: true })
  const port = await freePort()
  const conf = path.join(directory, 'virtbrokerd.conf')
  const more = [...listenOn(port, tls), `driver_sharing = "${sharing ? 'identity' : 'off'}"`, `driver_sockets = ["*=${driver.socket}"]`]
  if (collapsing) more.push('collapse_reads = 1')
  if (metrics) more.push(`metrics_listen = "unix:${metricsIn(directory)}"`)
  if (slowCalls) more.push('slow_call_ms = 1000')
  if (threads !== undefined) more.push(`actor_threads = ${threads}`, 'actor_min_clients = 1')
  writeFileSync(conf, libvirtdConf(directory, more))
  const program = new Program([process.execPath, executable, '-f', conf, '-p', path.join(directory, 'pid')])
  const peer = await started(name, driver, program, addressOf(port, tls, true), uri => uri)
  const socket = path.join(directory, 'libvirt-sock')
  await listening(program, { path: socket })
  return { ...peer, socket }
}

/** Bytes there and back, nothing else: the least that a proxy in a process of its own can do. */
export async function startHaproxy(directory: string, driver: Driver, tls?: Certificates): Promise<Peer> {
  mkdirSync(directory, { recursive: true })
  const port = await freePort()
  const conf = path.join(directory, 'haproxy.cfg')
  writeFileSync(
    conf,
    `global
  maxconn 9900
defaults
  mode tcp
  timeout connect 30s
  timeout client 1h
  timeout server 1h
frontend clients
  bind 127.0.0.1:${port} backlog ${BACKLOG}${tls ? ` ssl crt ${tls.both}${tls.required ? ` ca-file ${tls.ca} verify required` : ''}` : ''}
  default_backend driver
backend driver
  server driver unix@${driver.socket}
`
  )
  const program = new Program(['haproxy', '-db', '-f', conf])
  return started('haproxy', driver, program, addressOf(port, tls, false), uri => uri)
}

/** libvirtd without drivers hands every call on to the daemon that the client names: virtproxyd's work, same code. */
export async function startLibvirtdProxy(directory: string, driver: Driver, tls?: Certificates): Promise<Peer> {
  const drivers = path.join(directory, 'drivers')
  mkdirSync(drivers, { recursive: true })
  const port = await freePort()
  const conf = path.join(directory, 'libvirtd.conf')
  writeFileSync(conf, libvirtdConf(directory, listenOn(port, tls)))
  const program = new Program(
    ['libvirtd', '-l', '-f', conf, '-p', path.join(directory, 'pid')],
    privateEnvironment(directory, drivers)
  )
  return started('libvirtd', driver, program, addressOf(port, tls, true), uri => throughSocket(uri, driver.socket))
}

const listenOn = (port: number, tls: Certificates | undefined): string[] => [
  'listen_addr = "127.0.0.1"',
  `listen_tcp = ${tls ? 0 : 1}`,
  `listen_tls = ${tls ? 1 : 0}`,
  `${tls ? 'tls' : 'tcp'}_port = "${port}"`,
  'auth_tcp = "none"',
  ...(tls?.required === false ? ['tls_no_verify_certificate = 1'] : []),
  ...(tls ? [`ca_file = "${tls.ca}"`, `cert_file = "${tls.certificate}"`, `key_file = "${tls.key}"`] : [])
]

const addressOf = (port: number, tls: Certificates | undefined, confirmation: boolean): Address => ({
  host: '127.0.0.1',
  port,
  ...(tls && { tls: { confirmation, ...(tls.required && { own: { certificate: tls.certificate, key: tls.key } }) } })
})

/** `test:///default` as `test+unix:///default?socket=…` */
function throughSocket(uri: string, socket: string): string {
  const [scheme, rest] = uri.split('://')
  return `${scheme}+unix://${rest}?socket=${socket}`
}

async function started(
  name: PeerName,
  driver: Driver,
  program: Program,
  address: Address,
  nameFor: (uri: string) => string
): Promise<Peer> {
  await listening(program, address)
  return {
    name,
    driver,
    pid: program.pid,
    target: uri => ({ address, name: nameFor(uri) }),
    stop: () => program.stop()
  }
}
