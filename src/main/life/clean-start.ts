import { readFileSync } from 'node:fs'

/** How Node hands a channel to a child; of no effect on anything else. */
const HARMLESS = ['NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE']

/** As sd_listen_fds(3) has it. */
const FIRST_SOCKET = 3

/** By these Node lets itself be changed from outside, whoever set them: options, a debugger, other certificates. */
const isForNode = (name: string): boolean => name.startsWith('NODE_') && !HARMLESS.includes(name)

/**
 * What a caller's environment says to Node is not meant for a daemon. Some of it has had its effect before the first
 * statement, so the process starts anew without it, by execve: pid, standard streams and command line stay as they are.
 */
export async function startClean(): Promise<void> {
  if (!Object.keys(process.env).some(isForNode)) return
  const environment = stringsOf('/proc/self/environ').filter(entry => !isForNode(nameOf(entry)))
  // Loaded only here: it costs a few milliseconds.
  const { replaceProcess } = await import('./replace-process.js')
  const why = replaceProcess(process.execPath, stringsOf('/proc/self/cmdline'), environment, passedOn(environment))
  process.stderr.write(`virtbrokerd: cannot start without the environment's options for Node: ${why}\n`)
  process.exit(1)
}

/** Standard streams, sockets that systemd has made, and the channel of a caller that is Node. */
function passedOn(environment: readonly Buffer[]): number[] {
  const value = (name: string): number => {
    const entry = environment.find(candidate => nameOf(candidate) === name)
    return entry === undefined ? -1 : Number(entry.subarray(name.length + 1).toString('latin1'))
  }
  const count = value('LISTEN_PID') === process.pid ? value('LISTEN_FDS') : 0
  const sockets = Array.from({ length: Math.max(0, count) }, (_, index) => FIRST_SOCKET + index)
  const channel = value('NODE_CHANNEL_FD')
  return [0, 1, 2, ...sockets, ...(channel < 0 ? [] : [channel])]
}

/** Byte for byte: they may be in any encoding. */
function stringsOf(file: string): Buffer[] {
  const strings: Buffer[] = []
  const bytes = readFileSync(file)
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(0, at)
    strings.push(bytes.subarray(at, end))
    at = end + 1
  }
  return strings
}

const nameOf = (entry: Buffer): string => entry.toString('latin1').split('=', 1)[0]!
