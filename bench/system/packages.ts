import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const BINARIES = ['/usr/sbin', '/sbin', '/usr/bin', '/usr/local/sbin']

/** Debian packages of the peers and the driver, with a program of each. */
const PACKAGES = [
  { name: 'libvirt-daemon', program: 'libvirtd' },
  { name: 'haproxy', program: 'haproxy' }
]

/**
 * Makes sure that the programs are there. As root they are installed with apt, which is announced; otherwise throws
 * with the command to run.
 */
export function requirePrograms(programs: readonly string[], announce: (text: string) => void): void {
  const missing = PACKAGES.filter(
    ({ program }) => programs.includes(program) && !BINARIES.some(folder => existsSync(`${folder}/${program}`))
  ).map(({ name }) => name)
  if (missing.length === 0) return
  const command = ['apt-get', 'install', '-y', '--no-install-recommends', ...missing]
  const text = `the bench needs the Debian packages ${missing.join(' ')}`
  if (process.getuid?.() !== 0) throw new Error(`${text}; run: ${command.join(' ')}`)
  announce(`${text}: ${command.join(' ')}`)
  // Debian starts HAProxy when it is installed, unless this says no.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const apt = (...args: string[]): void => void execFileSync('apt-get', args, { env, stdio: ['ignore', 'ignore', 2] })
  apt('update', '-q')
  apt(...command.slice(1))
}
