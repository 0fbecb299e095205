import { resolve } from 'node:path'
import { exitAtOnce } from '../workers/os/libc.js'
import { checkStart } from './life/check-start.js'
import { parseCommandLine } from './cli.js'
import { absolutePath, absolutePaths } from './config/absolute-paths.js'
import { worksAside } from './config/aside.js'
import { PROGRAM } from './config/paths.js'
import { loadConfig } from './config/load.js'
import { exitCode, StartupError } from './config/startup-error.js'
import { Daemon } from './life/daemon.js'
import { daemonize, isDaemon, reportStatus } from './life/daemonize.js'
import { Life } from './life/life.js'
import { ServiceManager } from './life/service-manager.js'
import { takePassedSockets } from './listen/activation.js'

const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const

const manager = ServiceManager.of(process.env)

/** Failed starts end the process with virtproxyd's exit codes. */
async function main(argv: readonly string[]): Promise<void> {
  const command = parseCommandLine(argv)
  if ('exit' in command) {
    process.stdout.write(command.stdout)
    process.stderr.write(command.stderr)
    process.exitCode = command.exit
    return
  }
  const { options } = command
  const { config: configFile, verbose } = options
  const passed = takePassedSockets(process.env)
  if (passed !== undefined && options.daemon) throw new StartupError('sockets of systemd\'s cannot be used in the background (-d)')
  const privileged = process.geteuid?.() === 0
  const load = { configFile, verbose, privileged, env: { ...process.env }, passed, directory: process.cwd() }
  const config = absolutePaths(loadConfig(load))
  const pidFile = absolutePath(options.pidFile ?? config.paths.pidFile)
  if (options.checkConfig) {
    const checked = await checkStart(config, pidFile)
    process.stdout.write(checked.text)
    for (const error of checked.errors) process.stderr.write(`${PROGRAM}: ${error}\n`)
    process.exitCode = checked.exitCode
    return
  }
  if (options.daemon && !isDaemon()) {
    process.exitCode = await daemonize(argv)
    return
  }
  // All paths are known, and what runs in the background keeps no file system busy.
  if (isDaemon()) process.chdir('/')
  const fromAnywhere = { ...load, configFile: configFile && resolve(configFile) }
  const daemon = new Daemon(config, { ...options, pidFile, load: fromAnywhere })
  const life = new Life(daemon, state => manager.entered(state))
  manager.follow(daemon)
  // Caught before the first file is made: no files stay behind.
  for (const signal of STOP_SIGNALS) process.on(signal, () => life.request('stop'))
  process.on('SIGHUP', () => life.request('reload'))
  // What keeps the signal from Node's debugger stays: no-debugger.ts.
  process.on('SIGUSR1', () => daemon.reopenLog())
  try {
    await life.start()
  } catch (error) {
    return fail(error)
  }
  // Node would wait for a thread that hangs.
  void life.stopped.then(() => (daemon.healthy() && !worksAside() ? process.exit(0) : exitAtOnce(0)))
  daemon.livesBy(life)
  reportStatus(0)
}

function fail(error: unknown): void {
  const { message } = error as Error
  process.exitCode = exitCode(error)
  manager.failed(message)
  reportStatus(process.exitCode, message)
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${PROGRAM}: ${(error as Error).message}\n`)
  fail(error)
})
