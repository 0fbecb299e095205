import { execFile } from 'node:child_process'
import { readdirSync, readlinkSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { unixListener } from '../../../workers/os/process-info.js'
import type { Config } from '../../config/load.js'
import { advisoriesFor, NEWS, releaseOf, type Release } from './advisories.js'
import { note, ok, problem, type Finding } from './finding.js'
import { holder, OURS } from './places.js'

/** Where driver daemons are installed. */
const PROGRAMS = ['/usr/sbin', '/usr/local/sbin', '/usr/bin']
const DAEMON = /^(virt[a-z]+d|libvirtd)$/
/** Daemons of libvirt's that have no driver. */
const OTHERS = /^virt(log|lock|proxy)d-/
const VERSION_MS = 3000
const OTHERS_WRITE = 0o022
const DELETED = ' (deleted)'

/** The driver daemons that the configuration leads to, with their versions. None is started for that. */
export async function daemons(config: Config): Promise<Finding[]> {
  const found = (await Promise.all(daemonSockets(config).map(([name, path]) => daemon(name, path)))).flat()
  if (found.length > 0) return found
  return [problem('drivers', `there is no socket of a driver daemon in ${config.driverSocketDir}`, 'install one, or set driver_sockets')]
}

/** With the name of its daemon, if that can be told from it. */
type DaemonSocket = readonly [name: string | undefined, path: string]

function daemonSockets({ driverSockets, driverSocketDir }: Config): DaemonSocket[] {
  const named = [...driverSockets].map(([scheme, path]): DaemonSocket => [scheme === '*' ? 'libvirtd' : nameOf(path), path])
  const known = new Set(named.map(([, path]) => path))
  const there = entries(driverSocketDir)
    .filter(file => /^(virt[a-z]+d|libvirt)-sock$/.test(file) && !OTHERS.test(file))
    .map((file): DaemonSocket => [nameOf(file), join(driverSocketDir, file)])
  return [...named, ...there.filter(([, path]) => !known.has(path))]
}

function nameOf(path: string): string | undefined {
  const name = /^(virt[a-z]+d|libvirt)-sock/.exec(basename(path))?.[1]
  return name === 'libvirt' ? 'libvirtd' : name
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory).sort()
  } catch {
    return []
  }
}

async function daemon(name: string | undefined, path: string): Promise<Finding[]> {
  const pid = unixListener(path)
  if (pid === undefined) return [problem('drivers', `${path}: nobody listens`, `start ${name ?? 'its daemon'}, or its socket unit`)]
  const who = await holder(path, pid)
  // The place of libvirtd's socket may be ours.
  if (who.includes(OURS)) return []
  const program = programOf(pid === 1 ? undefined : pid, name)
  if (program === undefined) return [ok('drivers', `${path}: ${who}`)]
  if (program.endsWith(DELETED)) {
    const service = basename(program.slice(0, -DELETED.length))
    return [problem('drivers', `${path}: ${who} runs a program that has been replaced since`, `systemctl try-restart ${service}`)]
  }
  const release = await installedRelease(program)
  if (release === undefined) return [ok('drivers', `${path}: ${who}, of a version that it does not tell`)]
  return [ok('drivers', `${path}: ${who}, libvirt ${release.join('.')}`), ...advisories(basename(program), release)]
}

/** What a process runs, or what is installed by a name. Undefined if it is not certain that it is a daemon of libvirt's. */
function programOf(pid: number | undefined, name: string | undefined): string | undefined {
  if (pid === undefined) return name === undefined ? undefined : PROGRAMS.map(dir => join(dir, name)).find(isDaemon)
  try {
    const program = readlinkSync(`/proc/${pid}/exe`)
    const isReplaced = program.endsWith(DELETED) && DAEMON.test(basename(program.slice(0, -DELETED.length)))
    return isReplaced || isDaemon(program) ? program : undefined
  } catch {
    return undefined
  }
}

/** Whoever is asked for its version is run: that must be the administrator's own choice. */
function isDaemon(program: string): boolean {
  try {
    const { uid, mode } = statSync(program)
    const isInstalled = PROGRAMS.some(dir => program.startsWith(`${dir}/`))
    return DAEMON.test(basename(program)) && isInstalled && uid === 0 && (mode & OTHERS_WRITE) === 0
  } catch {
    return false
  }
}

function installedRelease(program: string): Promise<Release | undefined> {
  return new Promise(resolve => {
    const options = { timeout: VERSION_MS, env: { PATH: process.env.PATH } }
    execFile(program, ['--version'], options, (_error, text) => resolve(releaseOf(text)))
  })
}

function advisories(program: string, release: Release): Finding[] {
  const found = advisoriesFor(program, release)
  if (found.length === 0) return []
  const what = `${program} ${release.join('.')}: libvirt's notes of later releases list ${found.join(', ')}`
  return [note('advisories', what, `your distribution may have these changes in its package; ${NEWS}`)]
}
