import { absolutePaths } from '../../config/absolute-paths.js'
import { warnings } from '../../config/check.js'
import type { PassedSockets } from '../../config/listeners.js'
import { loadConfig, type Config } from '../../config/load.js'
import { checkStart } from '../../life/check-start.js'
import { loadTls } from '../../tls/load.js'
import { tlsOptions } from '../../tls/options.js'
import { note, ok, problem, type Finding } from './finding.js'
import { reasonOfFailure } from '../reason.js'

const DAY_MS = 86_400_000
/** Certificates that end sooner than this have to be renewed now, or are looked after. */
const SOON_DAYS = 7
const NEAR_DAYS = 30

interface Examined {
  readonly config: Config | undefined
  readonly findings: Finding[]
}

/** What the configuration is, if it can be used at all. `file`: undefined is the usual place. `passed`: as a start is given them. */
export async function configuration(file: string | undefined, passed: PassedSockets | undefined): Promise<Examined> {
  let config: Config
  try {
    const env = { ...process.env }
    const privileged = process.geteuid!() === 0
    config = absolutePaths(loadConfig({ configFile: file, verbose: false, privileged, env, passed, directory: process.cwd() }))
  } catch (error) {
    return { config: undefined, findings: [problem('configuration', reasonOfFailure(error), 'correct the file')] }
  }
  const checked = await checkStart(config, config.paths.pidFile)
  const name = config.file ?? 'none: defaults'
  const unknown = config.unknown.map(({ name: key, line }) => note('configuration', `${key} (line ${line}) is no key`))
  const doubtful = [...warnings(config), ...checked.warnings].map(warning => note('configuration', warning))
  const errors = checked.errors.map(error => problem('configuration', error, 'a start would fail with this'))
  const found = [...unknown, ...doubtful, ...errors]
  const first = errors.length === 0 ? [ok('configuration', name)] : []
  return { config, findings: [...first, ...found, ...(errors.length === 0 ? await certificates(config) : [])] }
}

/** When they end. That they fit each other, and their keys, has been seen to. */
async function certificates(config: Config, now = Date.now()): Promise<Finding[]> {
  const options = tlsOptions(config)
  if (options === undefined) return [ok('certificates', 'TLS is off')]
  const { expiries } = await loadTls(options, now)
  return expiries.map(({ file, role, notAfter }) => certificate(file, role, notAfter, now))
}

export function certificate(file: string, role: string, notAfter: number, now: number): Finding {
  const days = Math.floor((notAfter - now) / DAY_MS)
  const what = `${file} (${role}) ends ${new Date(notAfter).toISOString().slice(0, 10)}, in ${days} days`
  if (days < SOON_DAYS) return problem('certificates', what, 'renew it')
  return days < NEAR_DAYS ? note('certificates', what, 'renew it soon') : ok('certificates', `${what}; chain and key fit`)
}
