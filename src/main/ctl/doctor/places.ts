import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { endpointIn, endpointText } from '../../../workers/os/address.js'
import { processInfo, tcpListener, unixListener } from '../../../workers/os/process-info.js'
import type { Config } from '../../config/load.js'
import { SYSTEM_RUN_DIR } from '../../config/paths.js'
import { socketUnit } from '../../listen/in-use.js'
import { networkPlaces, networkPorts } from '../../listen/places.js'
import { note, ok, problem, type Finding } from './finding.js'
import { reasonOfFailure } from '../reason.js'

const NAMES = ['libvirt-sock', 'libvirt-sock-ro', 'libvirt-admin-sock']
/** In the names of the broker's process and of its units. */
export const OURS = 'virtbrokerd'

/** Who has which socket. Nobody is connected to: systemd would start a daemon for that. */
export async function places(config: Config, isRunning: boolean): Promise<Finding[]> {
  const { main, readOnly, admin } = config.sockets
  const wanted = [main, readOnly, admin].filter(path => path !== undefined)
  const system = config.privileged ? [join(dirname(SYSTEM_RUN_DIR), 'virtbroker'), SYSTEM_RUN_DIR] : []
  const others = system.flatMap(dir => NAMES.map(name => join(dir, name))).filter(path => existsSync(path))
  const paths = [...new Set([...wanted, ...others])]
  const unix = await Promise.all(paths.map(path => unixPlace(path, wanted.includes(path), isRunning)))
  return [...unix.filter(found => found !== undefined), ...(await ports(config, isRunning))]
}

/** `wanted`: by the configuration, where systemd does not say otherwise. */
async function unixPlace(path: string, wanted: boolean, isRunning: boolean): Promise<Finding | undefined> {
  const pid = unixListener(path)
  if (pid === undefined) {
    if (existsSync(path)) return note('sockets', `${path}: nobody listens`)
    // systemd may have given it others.
    return wanted && !isRunning ? note('sockets', `${path}: there is none`) : undefined
  }
  const who = await holder(path, pid)
  if (!wanted || isRunning || who.includes(OURS)) return ok('sockets', `${path}: ${who}`)
  return problem('sockets', `${path}: ${who}, and the configuration wants it`, 'stop that, or set unix_sock_dir; see virtbroker-mode(8)')
}

async function ports(config: Config, isRunning: boolean): Promise<Finding[]> {
  try {
    const found = (await networkEnds(config)).map(end => tcpPlace(end, isRunning))
    return found.length === 0 ? [ok('ports', 'there are to be none')] : await Promise.all(found)
  } catch (error) {
    return [problem('ports', reasonOfFailure(error), 'correct listen_addr, or the port')]
  }
}

interface NetworkEnd {
  readonly name: 'tcp' | 'tls'
  readonly ip: string
  readonly port: number
}

/** Where the configuration wants listeners for the network, or systemd has them. */
async function networkEnds(config: Config): Promise<NetworkEnd[]> {
  const { passed, listenAddr } = config
  if (passed === undefined) {
    const places = await networkPlaces(await networkPorts(config), listenAddr)
    return places.flatMap(({ name, port, ips }) => ips.map(ip => ({ name, ip, port })))
  }
  return (['tcp', 'tls'] as const).flatMap(name => (passed.get(name) ?? []).map(({ place }) => ({ name, ...endpointIn(place) })))
}

async function tcpPlace({ name, ip, port }: NetworkEnd, isRunning: boolean): Promise<Finding> {
  const place = endpointText({ ip, port })
  const pid = tcpListener(ip, port)
  if (pid === undefined) {
    const what = `${place} (${name}): nobody listens`
    return isRunning ? problem('ports', what, 'look into the log of the broker, and at its socket units') : note('ports', what)
  }
  const who = await holder(place, pid)
  const what = `${place} (${name}): ${who}`
  return who.includes(OURS) ? ok('ports', what) : problem('ports', what, `stop that, or set ${name}_port`)
}

/** Who it is, for people to read. */
export async function holder(place: string, pid: number): Promise<string> {
  const { program, service } = processInfo(pid)
  if (pid === 1) {
    const unit = await socketUnit(place)
    return `${program ?? 'the first process'}, for ${unit ?? 'a unit that is not to be seen'}`
  }
  return `${program ?? 'a process that has ended'} (process ${pid}${service === undefined ? '' : `, ${service}`})`
}
