import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { constants } from 'node:os'

/** How many descriptors a process has open. */
export const openDescriptors = (pid: number | 'self'): number => readdirSync(`/proc/${pid}/fd`).length

/** Whether this process has it open. The file itself is not looked at: whoever serves it might not answer. */
export function isOpen(fd: number): boolean {
  return lstatSync(`/proc/self/fd/${fd}`, { throwIfNoEntry: false }) !== undefined
}

/** How many of them are of the file with this path. */
export const openDescriptorsOf = (pid: number, path: string): number =>
  readdirSync(`/proc/${pid}/fd`).filter(fd => linkOf(`/proc/${pid}/fd/${fd}`) === path).length

/** Those of this process that are of the file with this path. */
export const descriptorsOf = (path: string): number[] =>
  readdirSync('/proc/self/fd').filter(fd => linkOf(`/proc/self/fd/${fd}`) === path).map(Number)

/** What they stand for, sorted: paths, and the kinds of what has none. */
export function descriptorKinds(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map(fd => linkOf(`/proc/${pid}/fd/${fd}`).replace(/:\[\d+\]$/, '')).sort()
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return 'closed meanwhile'
  }
}

/** TCP ports on which a process listens, in order. */
export function listeningPorts(pid: number): number[] {
  const sockets = new Set(readdirSync(`/proc/${pid}/fd`).map(fd => linkOf(`/proc/${pid}/fd/${fd}`)))
  const ports = ['tcp', 'tcp6'].flatMap(table =>
    readFileSync(`/proc/${pid}/net/${table}`, 'latin1').split('\n').slice(1).flatMap(line => {
      const fields = line.trim().split(/\s+/)
      const [local, state, inode] = [fields[1], fields[3], fields[9]]
      return state === LISTENING && sockets.has(`socket:[${inode}]`) ? [parseInt(local!.split(':')[1]!, 16)] : []
    })
  )
  return ports.sort((one, other) => one - other)
}

const LISTENING = '0A'

/** Whether a process does something of its own when a signal comes. */
export function catches(pid: number, signal: NodeJS.Signals): boolean {
  const mask = /SigCgt:\s+([0-9a-f]+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]!
  return ((BigInt(`0x${mask}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n
}

/** How many threads a process has. */
export const threadCount = (pid: number): number => readdirSync(`/proc/${pid}/task`).length

/** The processes that a process has started and that have not ended. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc').filter(name => /^\d+$/.test(name)).map(Number).filter(other => {
    try {
      const [state, parent] = readFileSync(`/proc/${other}/stat`, 'latin1').split(') ')[1]!.split(' ')
      return Number(parent) === pid && state !== 'Z'
    } catch {
      return false
    }
  })
}

/** Lines of `/proc/PID/task/…/status`, the same text of several threads once: whose rights they have. */
export function rights(pid: number, ...names: string[]): string[] {
  const found = readdirSync(`/proc/${pid}/task`).map(task => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'latin1')
    return names.map(name => `${name}: ${new RegExp(`^${name}:(.*)$`, 'm').exec(status)![1]!.trim().replaceAll('\t', ' ')}`).join(', ')
  })
  return [...new Set(found)]
}

/** Resident memory of a process in MiB. */
export function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024
}

/** CPU time that a process has used, all its threads together. In milliseconds; the kernel counts hundredths of seconds. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
  return 10 * (Number(fields[11]) + Number(fields[12]))
}

/** Stops a process, until SIGCONT. That SIGSTOP has reached all of its threads takes a moment. */
export function hold(pid: number): void {
  process.kill(pid, 'SIGSTOP')
  while (!readdirSync(`/proc/${pid}/task`).every(thread => isStopped(`/proc/${pid}/task/${thread}/stat`)));
}

function isStopped(stat: string): boolean {
  try {
    return readFileSync(stat, 'latin1').includes(') T ')
  } catch {
    // It has ended meanwhile.
    return false
  }
}
