import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { defaultPaths } from '../config/paths.js'
import { version } from '../config/version.js'
import { AdminLink, Unreachable } from './admin-link.js'
import type { BrokerCommand, Show } from './command.js'
import { clients } from './commands/clients.js'
import { doctor } from './commands/doctor.js'
import { drivers } from './commands/drivers.js'
import { disconnect, drain, reload, undrain } from './commands/life.js'
import { limits } from './commands/limits.js'
import { log } from './commands/log.js'
import { procedures } from './commands/procedures.js'
import { slow } from './commands/slow.js'
import { status } from './commands/status.js'
import { top } from './commands/top.js'
import { trace } from './commands/trace.js'
import { printable, printableJson } from './printable.js'

/** With what it ends (docs/administration.md). */
const EXIT = { refused: 1, usage: 2, unreachable: 3 } as const

const COMMANDS: readonly BrokerCommand[] = [
  status, clients, drivers, disconnect, drain, undrain, reload, log, limits, trace, top, slow, procedures, doctor
]

const ADMIN_SOCKET = 'libvirt-admin-sock'

/** Beside libvirtd the broker has a directory of its own, which its units name; the other is libvirt's. */
function usualSocket(): string {
  const { runDir } = defaultPaths(process.geteuid!() === 0, process.env)
  const places = [join(dirname(runDir), 'virtbroker', ADMIN_SOCKET), join(runDir, ADMIN_SOCKET)]
  return places.find(place => existsSync(place)) ?? places[1]!
}

/** `ended`: is told with what the program is to end. */
export function makeProgram(ended: (status: number) => void = () => undefined): Command {
  const program = new Command('virtbrokerctl')
    .description('Shows and changes what a running virtbrokerd does.')
    .version(`virtbrokerctl (virtbroker) ${version}`)
    .exitOverride()
    .option('-s, --socket <path>', 'its admin socket', usualSocket())
    .option('--json', 'print JSON', false)
  for (const { name, describes, define, run } of COMMANDS) {
    const command = program.command(name).description(describes)
    define?.(command)
    command.action(async () => {
      const { socket, json, ...options } = command.optsWithGlobals<{ socket: string; json: boolean }>()
      const link = new AdminLink(socket)
      const print = (line: string): void => void process.stdout.write(`${line}\n`)
      const show: Show = (result, text) => print(json ? printableJson(result, 2) : text(result))
      const showLine: Show = (result, text) => print(json ? printableJson(result) : text(result))
      try {
        ended((await run({ link, options, operand: command.processedArgs[0] as unknown, json, show, showLine })) ?? 0)
      } finally {
        link.close()
      }
    })
  }
  return program
}

/** Resolves with the exit code. */
export async function runProgram(argv: readonly string[]): Promise<number> {
  let status = 0
  try {
    await makeProgram(ended => (status = ended)).parseAsync(argv)
    return status
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage
    process.stderr.write(`virtbrokerctl: ${printable((error as Error).message)}\n`)
    return error instanceof Unreachable ? EXIT.unreachable : EXIT.refused
  }
}
