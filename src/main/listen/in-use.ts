import { execFile } from 'node:child_process'
import { processInfo } from '../../workers/os/process-info.js'

/** Where somebody else listens. */
export interface TakenPlace {
  /** A path, or `address:port`. */
  place: string
  /** Whose it is; 0 is one of another process id name space, undefined not to be found out. */
  pid: number | undefined
  /** The key that gives us another place. */
  key: string
}

/** systemctl may have to wait for a systemd that is busy. */
const SYSTEMCTL_MS = 2000
/** Daemons that have sockets of systemd's beside their service. */
const ACTIVATED = /^(libvirtd|virtproxyd|virtbrokerd)\b/

/** Says who has the place, and what can be done about it. */
export async function inUse({ place, pid, key }: TakenPlace): Promise<string> {
  const { who, stop } = await holder(place, pid)
  return `'${place}' is in use by ${who}: stop that first${stop === undefined ? '' : ` (${stop})`}, or set ${key}`
}

async function holder(place: string, pid: number | undefined): Promise<{ who: string; stop?: string }> {
  if (pid === undefined) return { who: 'a process that cannot be seen' }
  if (pid === 0) return { who: 'a process outside this container' }
  if (pid === process.pid) return { who: 'this broker itself' }
  const { program, service } = processInfo(pid)
  if (pid === 1 && program === 'systemd') {
    const unit = (await socketUnit(place)) ?? likelyUnit(place)
    return unit === undefined ? { who: 'systemd' } : { who: `systemd, for ${unit}`, stop: stopping(unit) }
  }
  const names = [program ?? 'which has ended since', ...(service === undefined ? [] : [service])]
  return { who: `process ${pid} (${names.join(', ')})`, stop: service === undefined ? killing(pid, program) : stopping(service) }
}

/** Not everywhere do the control groups tell what is a service. */
const killing = (pid: number, program = ''): string =>
  ACTIVATED.test(program) ? `kill ${pid}, or ${stopping(program)}` : `kill ${pid}`

/** A daemon's sockets would start it anew. */
function stopping(unit: string): string {
  const daemon = ACTIVATED.exec(unit)?.[0]
  const units = daemon === undefined ? [unit] : ['.service', '.socket', '-ro.socket', '-admin.socket'].map(end => daemon + end)
  return `systemctl stop ${units.join(' ')}`
}

/** The unit that systemd says it listens for there. */
export function socketUnit(place: string): Promise<string | undefined> {
  const args = ['--no-pager', '--no-legend', '--plain', '--full', 'list-sockets']
  return new Promise(resolve => {
    execFile('systemctl', args, { timeout: SYSTEMCTL_MS }, (_error, output) => {
      const port = /:\d+$/.exec(place)?.[0]
      const rows = output.split('\n').map(line => /^(.+?)\s+(\S+\.socket)\s/.exec(line))
      const fits = (where: string): boolean => where === place || (port !== undefined && where.endsWith(port))
      resolve(rows.find(row => row !== null && fits(row[1]!))?.[2])
    })
  })
}

/** libvirt's units by their usual places. */
function likelyUnit(place: string): string | undefined {
  return /\/libvirt-(admin-)?sock(-ro)?$/.test(place) ? 'libvirtd.socket' : undefined
}
