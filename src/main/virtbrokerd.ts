#!/usr/bin/env node
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { actorSettings } from './actor-settings.js'
import { parseCommandLine, type Options } from './cli.js'
import { describeConfig, warnings } from './config/check.js'
import { ConfError, EXIT } from './config/grammar.js'
import { levelNames } from './config/log-settings.js'
import { loadConfig, type Config } from './config/load.js'
import { daemonize, isDaemon, reportStatus, scriptPath } from './daemonize.js'
import { ListenError } from './listener.js'
import { createBrokerLogger, type Logger } from './logging.js'
import { PidFile } from './pid-file.js'
import { Supervisor } from './supervisor.js'

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
  const privileged = process.geteuid?.() === 0
  const { config: configFile, verbose } = options
  const config = loadConfig({ configFile, verbose, privileged, env: process.env })
  if (options.checkConfig) {
    process.stdout.write(describeConfig(config))
    return
  }
  if (options.daemon && !isDaemon()) {
    process.exitCode = await daemonize(argv, scriptPath(import.meta.url))
    return
  }
  await serve(config, options)
}

async function serve(config: Config, options: Options): Promise<void> {
  const logger = createBrokerLogger(config.log, config.paths, options.daemon)
  for (const warning of warnings(config)) logger.warn('daemon', warning)
  let pidFile: PidFile | undefined
  const supervisor = new Supervisor(config, logger)
  try {
    const pidPath = options.pidFile ?? config.paths.pidFile
    makeRunDirectory(config, pidPath)
    if (pidPath !== '') pidFile = new PidFile(pidPath)
    await supervisor.start(actorSettings(config, levelNames[logger.lowestLevel], undefined))
  } catch (error) {
    logger.error('daemon', (error as Error).message)
    await supervisor.stop()
    pidFile?.remove()
    await logger.close()
    return fail(error)
  }
  const stop = stopOnce(supervisor, logger, pidFile)
  for (const signal of STOP_SIGNALS) process.once(signal, stop)
  process.on('SIGHUP', () => void supervisor.reload())
  if (options.timeout > 0) stopWhenIdle(supervisor, 1000 * options.timeout, stop)
  logger.info('daemon', `ready, with ${config.actorThreads} actor threads`)
  reportStatus(0)
}

function makeRunDirectory(config: Config, pidPath: string): void {
  const before = process.umask(config.privileged ? 0o022 : 0o077)
  try {
    for (const file of [config.sockets.main, pidPath]) {
      if (path.isAbsolute(file)) mkdirSync(path.dirname(file), { recursive: true })
    }
  } catch (error) {
    throw new ConfError(`unable to create rundir: ${(error as Error).message}`, EXIT.runDir)
  } finally {
    process.umask(before)
  }
}

function stopOnce(supervisor: Supervisor, logger: Logger, pidFile: PidFile | undefined): () => void {
  let stopping = false
  return () => {
    if (stopping) return
    stopping = true
    void (async () => {
      await supervisor.stop()
      pidFile?.remove()
      await logger.close()
      process.exit(0)
    })()
  }
}

/** The timer runs only while there is no client, and starts anew when the last one has gone. */
function stopWhenIdle(supervisor: Supervisor, ms: number, stop: () => void): void {
  let timer: NodeJS.Timeout | undefined = setTimeout(stop, ms)
  supervisor.onIdle = idle => {
    clearTimeout(timer)
    timer = idle ? setTimeout(stop, ms) : undefined
  }
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
