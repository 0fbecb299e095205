import { execFileSync } from 'node:child_process'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'

/** The machine and the versions that the figures belong to. */
export interface Machine {
  cpu: string
  cores: number
  memoryGiB: number
  kernel: string
  node: string
  haproxy: string
  libvirtd: string
  revision: string
  loadBefore: number
  when: string
}

export function describeMachine(directory: string): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    haproxy: firstLine('haproxy', '-v'),
    libvirtd: firstLine('libvirtd', '--version'),
    revision: firstLine('git', '-C', directory, 'describe', '--always', '--dirty'),
    loadBefore: loadavg()[0] ?? 0,
    when: new Date().toISOString()
  }
}

function firstLine(file: string, ...args: string[]): string {
  try {
    const [line = ''] = execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')
    return line.trim()
  } catch {
    return 'not there'
  }
}
