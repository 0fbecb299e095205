import { Command, CommanderError, type OutputConfiguration } from 'commander'
import { defaultPaths, PROGRAM, socketPaths } from './config/paths.js'
import { version } from './config/version.js'

export interface Options {
  /** `-f`: must exist. */
  config?: string
  /** `-p`: an empty string means no pid file. */
  pidFile?: string
  /** `-t`, in seconds: end when there has been no client for so long; 0 is never. */
  timeout: number
  verbose: boolean
  daemon: boolean
  checkConfig: boolean
}

/** The program is to end at once, having printed this. */
export interface Exit {
  exit: number
  stdout: string
  stderr: string
}

/** The timer counts milliseconds in a C int. */
const MAX_TIMEOUT = Math.floor((2 ** 31 - 1) / 1000)

/** Reads the arguments (without node and script) as virtproxyd would, and never ends the process by itself. */
export function parseCommandLine(
  argv: readonly string[],
  privileged = process.geteuid?.() === 0
): { options: Options } | Exit {
  const printed = { stdout: '', stderr: '' }
  const command = makeCommand(privileged, {
    writeOut: text => (printed.stdout += text),
    writeErr: text => (printed.stderr += text),
    outputError: (text, write) => write(text.replace(/^error: /, `${PROGRAM}: `))
  })
  try {
    command.parse(expandLongOptions(command, argv), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // virtproxyd's help goes to stderr, its version to stdout.
    if (error.code === 'commander.helpDisplayed') return { exit: 0, stdout: '', stderr: printed.stdout }
    return { exit: error.exitCode, ...printed }
  }
  if (command.args.length > 0) return failure('unexpected, non-option, command line arguments')
  const { timeout = '0', ...options } = command.opts<Omit<Options, 'timeout'> & { timeout?: string }>()
  if (!/^\s*\+?[0-9]+$/.test(timeout) || Number(timeout) > MAX_TIMEOUT) return failure('Invalid value for timeout')
  return { options: { ...options, timeout: Number(timeout) } }
}

const failure = (text: string): Exit => ({ exit: 1, stdout: '', stderr: `${PROGRAM}: ${text}\n` })

function makeCommand(privileged: boolean, output: OutputConfiguration): Command {
  return new Command(PROGRAM)
    .exitOverride()
    .configureOutput(output)
    .showHelpAfterError()
    .allowExcessArguments()
    .usage('[options]')
    .option('-f, --config <file>', 'configuration file')
    .option('-p, --pid-file <file>', 'where to write the process id')
    .option('-t, --timeout <secs>', 'end when there has been no client for so long (0: never)')
    .option('-v, --verbose', 'log informational messages too', false)
    .option('-d, --daemon', 'run in the background', false)
    .option('--check-config', 'say what the configuration means, and end', false)
    .version(`${PROGRAM} (virtbroker) ${version}`, '-V, --version', 'print the version, and end')
    .helpOption('-h, --help', 'print this help, and end')
    .addHelpText('after', () => `\n${describePaths(privileged)}`)
}

function describePaths(privileged: boolean): string {
  const paths = defaultPaths(privileged, process.env)
  const sockets = socketPaths(privileged, paths.runDir, undefined)
  const tls = paths.tls[0]
  const lines = (title: string, values: readonly (string | undefined)[]): string =>
    [`${title}:`, ...values.filter(value => value !== undefined)].join('\n  ')
  return [
    lines('Configuration file, the first that exists (unless -f is given)', paths.configFiles),
    lines('Sockets', [sockets.main, sockets.readOnly, sockets.admin]),
    lines('TLS files', [tls?.ca, tls?.certificate, tls?.key]),
    lines('Process id file (unless -p is given)', [paths.pidFile])
  ].join('\n')
}

/** Unambiguous beginnings of long options stand for the whole, as getopt_long has it. */
function expandLongOptions(command: Command, argv: readonly string[]): string[] {
  const names = [...command.options.map(option => option.long ?? ''), '--help']
  const end = argv.indexOf('--')
  return argv.map((argument, index) => {
    const [name = ''] = argument.split('=', 1)
    if ((end >= 0 && index >= end) || !/^--./.test(name) || names.includes(name)) return argument
    const fits = names.filter(candidate => candidate.startsWith(name))
    return fits.length === 1 ? `${fits[0]}${argument.slice(name.length)}` : argument
  })
}
