import { tooOld } from '../../life/node-version.js'
import type { AdminLink } from '../admin-link.js'
import { configFileOf, runningBroker } from './broker.js'
import { configuration } from './configuration.js'
import { daemons } from './daemons.js'
import { ok, problem, type Finding } from './finding.js'
import { places } from './places.js'
import { systemdSockets } from './socket-units.js'
import { units } from './units.js'

/** Looks at all that a broker needs, changes nothing, and starts nobody. `file`: the configuration; undefined: the running broker's. */
export async function examine(link: AdminLink, file: string | undefined): Promise<Finding[]> {
  const { running, findings } = await runningBroker(link)
  const pid = running?.status.pid
  const named = file ?? (pid === undefined ? undefined : configFileOf(pid))
  const { config, findings: configured } = await configuration(named, await systemdSockets(pid))
  const around = config === undefined ? [] : [...(await places(config, running !== undefined)), ...(await daemons(config))]
  return [node(), ...findings, ...configured, ...around, ...(await units())]
}

function node(): Finding {
  const old = tooOld(process.versions.node)
  return old === '' ? ok('node', process.versions.node) : problem('node', old, 'install a later one')
}
