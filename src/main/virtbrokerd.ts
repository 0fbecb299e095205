#!/usr/bin/env node
import './node-version.js'
import { parseCommandLine } from './cli.js'
import { describeConfig } from './config/check.js'
import { ConfError, EXIT } from './config/grammar.js'
import { loadConfig } from './config/load.js'
import { Daemon } from './daemon.js'
import { daemonize, isDaemon, reportStatus, scriptPath } from './daemonize.js'
import { ListenError } from '../workers/os/listener.js'

const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const

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
  const config = loadConfig({ configFile, verbose, privileged: process.geteuid?.() === 0, env: process.env })
  if (options.checkConfig) {
    process.stdout.write(describeConfig(config))
    return
  }
  if (options.daemon && !isDaemon()) {
    process.exitCode = await daemonize(argv, scriptPath(import.meta.url))
    return
  }
  const daemon = new Daemon(config, options)
  let started = Promise.resolve()
  // A signal that comes during the start has its effect when that is over: no files stay behind. So it is caught before
  // the first file is made. Whether the start failed is seen to below.
  const whenStarted = (act: () => void): void => void started.then(act, () => undefined)
  const stop = (): void => whenStarted(() => void daemon.stop().then(() => process.exit(0)))
  for (const signal of STOP_SIGNALS) process.on(signal, stop)
  process.on('SIGHUP', () => whenStarted(() => daemon.reload()))
  try {
    started = daemon.start()
    await started
  } catch (error) {
    return fail(error)
  }
  daemon.stopWhenIdle(stop)
  reportStatus(0)
}

function fail(error: unknown): void {
  const code =
    error instanceof ConfError ? error.exitCode : error instanceof ListenError ? EXIT.network : EXIT.failure
  process.exitCode = code
  reportStatus(code)
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`virtbrokerd: ${(error as Error).message}\n`)
  fail(error)
})
