import { statSync, type Stats } from 'node:fs'
import { dirname } from 'node:path'
import { othersWrite } from './check.js'
import type { Config } from './load.js'

/** Drivers that daemons have, by their schemes. The last six serve single parts of a host. */
const SCHEMES = [
  'bhyve', 'ch', 'lxc', 'openvz', 'qemu', 'test', 'vbox', 'vmware', 'vz', 'xen',
  'interface', 'network', 'nodedev', 'nwfilter', 'secret', 'storage'
]
const STICKY = 0o1000

/** What a look at this host's files makes seem a mistake. It is said at each start, and by --check-config. */
export function hostWarnings(config: Config, pidFile: string): string[] {
  return [...driverSocketWarnings(config.driverSockets), ...pidFileWarnings(pidFile)]
}

function driverSocketWarnings(sockets: Config['driverSockets']): string[] {
  return [...sockets].flatMap(([scheme, path]) => {
    const stats = look(path)
    const found: string[] = []
    if (scheme !== '*' && !SCHEMES.includes(scheme)) found.push(`driver_sockets: libvirt has no driver '${scheme}'`)
    // The daemon may come later.
    if (stats === undefined) found.push(`driver_sockets: there is nothing at '${path}' now`)
    else if (!stats.isSocket()) found.push(`driver_sockets: '${path}' is no socket`)
    return found
  })
}

/** Whoever may write there can put another pid into its place, which is then killed in ours; but not if it is sticky. */
function pidFileWarnings(pidFile: string): string[] {
  const directory = dirname(pidFile)
  if (pidFile === '' || !othersWrite(directory) || ((look(directory)?.mode ?? 0) & STICKY) !== 0) return []
  return [`others can write to '${directory}', where the pid file is`]
}

function look(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch {
    return undefined
  }
}
