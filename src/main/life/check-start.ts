import { accessSync, closeSync, constants, existsSync, lstatSync, openSync, statfsSync, statSync } from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import { ENOENT, errorText, reasonOf } from '../../workers/os/libc.js'
import { cannotBind } from '../../workers/os/listening-sockets.js'
import { obstacleAt } from '../../workers/os/occupant.js'
import { actorSettings } from '../config/actor-settings.js'
import { describeConfig } from '../config/check.js'
import { EXIT, exitCode, StartupError } from '../config/startup-error.js'
import type { Config } from '../config/load.js'
import { hostWarnings } from '../config/host-warnings.js'
import { inTurn, type Step } from './in-turn.js'
import { cannotListen } from '../listen/cannot-listen.js'
import { isHostName, listeningPlaces, ownSocketFiles } from '../listen/places.js'
import { cannotOpenPidFile, pidFileObstacle, runningWith } from './pid-file.js'
import { saslFor } from '../threads/sasl-use.js'
import { loadTls } from '../tls/load.js'
import { tlsOptions } from '../tls/options.js'

export interface CheckedStart {
  /** What the configuration means. */
  text: string
  /** What looks doubtful on this host. */
  warnings: string[]
  /** Why a start would fail. */
  errors: string[]
  /** With what it would end; 0: it would not fail for what can be known. */
  exitCode: number
}

/**
 * `--check-config`: does what a start does as far as that leaves nothing behind and connects to nobody, in its order
 * and with its code. It goes on after a failure, so that all are told; the first decides the exit code.
 */
export async function checkStart(config: Config, pidFile: string): Promise<CheckedStart> {
  const errors: Error[] = []
  const found = hostWarnings(config, pidFile)
  const steps: Step[] = [
    ['log', () => checkLogFiles(config)],
    ['directories', () => checkDirectories([...ownSocketFiles(config), pidFile])],
    ['pid file', () => checkPidFile(pidFile)],
    ['listeners', () => checkListeners(config)],
    ['driver sockets', () => actorSettings(config)],
    ['audit', () => checkAuditFile(config)],
    ['TLS', async () => found.push(...(await tlsWarnings(config)))],
    ['SASL', async () => found.push(...(await saslWarnings(config)))]
  ]
  await inTurn(steps, (_what, error) => errors.push(error))
  return {
    text: describeConfig(config, found, unknownBefore(config), runningWith(pidFile)),
    warnings: found,
    errors: errors.map(error => error.message),
    exitCode: errors[0] === undefined ? 0 : exitCode(errors[0])
  }
}

function unknownBefore({ listenAddr, listenTcp, listenTls, passed, metricsListen }: Config): string[] {
  const metrics = metricsListen === undefined ? [] : ['whether metrics_listen can be had; the broker goes on without it']
  if (passed !== undefined) return metrics
  const network = listenTcp || listenTls
  return [
    ...metrics,
    `whether another process has the sockets${network ? ', addresses and ports' : ''}`,
    ...(network && isHostName(listenAddr) ? [`whether listen_addr "${listenAddr}" can be resolved`] : [])
  ]
}

function checkLogFiles({ log }: Config): void {
  for (const output of log.outputs) {
    const why = output.to === 'file' ? obstacleToAppending(output.path) : undefined
    if (why !== undefined) throw new StartupError(why)
  }
}

function checkAuditFile({ auditOutput }: Config): void {
  const why = auditOutput?.to === 'file' ? obstacleToAppending(auditOutput.path) : undefined
  if (why !== undefined) throw new StartupError(`audit_output: ${why}`)
}

/** Opens what is there, which changes nothing; what is not there would be made. */
function obstacleToAppending(path: string): string | undefined {
  const { O_WRONLY, O_APPEND, O_NONBLOCK } = constants
  try {
    closeSync(openSync(path, O_WRONLY | O_APPEND | O_NONBLOCK))
    return undefined
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? obstacleToMaking(dirname(path)) : reasonOf(error)
    return why && `failed to open ${path}: ${why}`
  }
}

/** Those that are not there would be made first of all. */
function checkDirectories(files: readonly string[]): void {
  for (const directory of files.filter(file => isAbsolute(file)).map(file => dirname(file))) {
    const there = lastThere(directory)
    const why = there === directory ? obstacleToEntering(there) : obstacleToMaking(there)
    if (why !== undefined) throw new StartupError(`unable to create rundir ${directory}: ${why}`, EXIT.runDir)
  }
}

/** The directory itself if there is anything, else the last above it where there is. */
function lastThere(path: string): string {
  const parent = dirname(path)
  try {
    return parent === path || lstatSync(path, { throwIfNoEntry: false }) !== undefined ? path : lastThere(parent)
  } catch {
    // Something above is no directory.
    return lastThere(parent)
  }
}

function obstacleToEntering(directory: string): string | undefined {
  try {
    statSync(`${directory}/.`)
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}

const PROC = 0x9fa0
const SYSFS = 0x62656572

/** Why no file can be made in a directory, in the system's words. */
function obstacleToMaking(directory: string): string | undefined {
  try {
    const stats = statSync(`${directory}/.`)
    accessSync(directory, constants.W_OK | constants.X_OK)
    const removed = stats.nlink === 0
    return removed || [PROC, SYSFS].includes(statfsSync(directory).type) ? errorText(ENOENT) : undefined
  } catch (error) {
    return reasonOf(error)
  }
}

function checkPidFile(pidFile: string): void {
  if (pidFile === '') return
  const obstacle = pidFileObstacle(pidFile)
  if (obstacle !== undefined) throw new StartupError(obstacle)
  const why = obstacleToFile(pidFile)
  if (why !== undefined) throw new StartupError(cannotOpenPidFile(pidFile, why))
}

async function checkListeners(config: Config): Promise<void> {
  if (config.passed !== undefined) return
  for (const { path } of (await listeningPlaces(config)).unix) {
    const why = obstacleAt(path) ?? obstacleToFile(path)
    if (why !== undefined) throw cannotListen(cannotBind(path, why).message)
  }
}

/** What is in the way of making a file, in a directory that is there. */
function obstacleToFile(path: string): string | undefined {
  const directory = dirname(path)
  return existsSync(path) || !existsSync(directory) ? undefined : obstacleToMaking(directory)
}

async function tlsWarnings(config: Config): Promise<string[]> {
  const options = tlsOptions(config)
  return options === undefined ? [] : (await loadTls(options)).warnings
}

async function saslWarnings(config: Config): Promise<string[]> {
  const warnings: string[] = []
  const sasl = await saslFor(config, (kind, message) => {
    if (kind !== 'info') warnings.push(message)
  })
  await sasl?.stop()
  return warnings
}
