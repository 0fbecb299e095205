import { readFileSync } from 'node:fs'
import { mustRun, type Outcome, printed, Program, run, type RunOptions } from './processes.js'

/**
 * What libvirt's clients get to see of our environment: nothing of the developer's own libvirt settings, English
 * texts, a fixed time zone.
 */
export const clientEnv: NodeJS.ProcessEnv = {
  PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C.UTF-8', TZ: 'UTC', TERM: 'xterm'
}

/** Debian's Python, which has libvirt's binding; another one may come first in PATH. */
const python = '/usr/bin/python3'

const scripts = new URL('../../../test/interop/python/', import.meta.url).pathname

/** Runs one virsh command line, e.g. `dominfo guest`, or several with `;` between them. */
export function virsh(uri: string, command: string, options: RunOptions & { readonly?: boolean } = {}):
Promise<Outcome> {
  const flags = options.readonly === true ? ['-r'] : []
  return run(['virsh', ...flags, '-c', uri, command], { env: clientEnv, ...options })
}

/** Like `virsh`, for commands that must succeed. Gives what was printed. */
export async function virshOk(uri: string, command: string, options: RunOptions = {}): Promise<string> {
  const outcome = await virsh(uri, command, options)
  if (outcome.status !== 0) throw new Error(`virsh -c ${uri} ${command}\n${outcome.stdout}${outcome.stderr}`)
  return outcome.stdout
}

/** A virsh that stays connected until its input ends. Resolves when the connection is open. */
export async function interactiveVirsh(uri: string): Promise<Program> {
  const program = new Program(['virsh', '-q', '-c', uri], { env: clientEnv })
  program.child.stdin.write('echo connected\n')
  await printed(program, /connected/)
  return program
}

/**
 * The command line that does commands of virsh which make a guest's job: virsh makes their call in a thread of its own,
 * beside a watch over the job, and can miss an answer that is there before the watch has begun, as a test driver's is.
 */
export function guestJobs(uri: string, ...commands: readonly string[]): string[] {
  // Its text, because not every user can read the file.
  return [python, '-c', readFileSync(`${scripts}guest_jobs.py`, 'utf8'), uri, ...commands]
}

/** Whether virsh does that command as `guestJobs` says. */
export const isGuestJob = (command: string): boolean => /^(save|dump|managedsave|migrate) /.test(command)

/** The command line that does one command: virsh's, with these flags, or that of `guestJobs`. */
export const commandLine = (uri: string, command: string, ...flags: readonly string[]): string[] =>
  isGuestJob(command) ? guestJobs(uri, command) : ['virsh', ...flags, '-c', uri, command]

/** Does one command, which must succeed. */
export const commandOk = (uri: string, command: string): Promise<Outcome> => mustRun(commandLine(uri, command), { env: clientEnv })

/** Starts a script of test/interop/python with libvirt's binding. */
export function startPython(script: string, ...args: string[]): Program {
  return new Program([python, '-u', `${scripts}${script}`, ...args], { env: clientEnv })
}

/** Runs a script of test/interop/python to its end. */
export function runPython(script: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return run([python, '-u', `${scripts}${script}`, ...args], { env: clientEnv, ...options })
}
