import { existsSync } from 'node:fs'
import { note, ok, problem, type Finding } from './finding.js'
import { SERVICE, SOCKET_UNITS } from './socket-units.js'
import { shownUnits, type Unit } from './systemctl.js'

const THEIRS = ['libvirtd.service', 'libvirtd.socket', 'virtproxyd.service', 'virtproxyd.socket']
const PROPERTIES = ['Id', 'LoadState', 'ActiveState', 'UnitFileState', 'Result', 'NRestarts']

/** Units of the broker, and of what has the same sockets. */
export async function units(): Promise<Finding[]> {
  if (!existsSync('/run/systemd/system')) return [note('units', 'systemd does not run here')]
  const shown = await shownUnits([SERVICE, ...SOCKET_UNITS.keys(), ...THEIRS], PROPERTIES)
  if (shown === undefined) return [note('units', 'systemctl does not answer')]
  const found = shown.filter(({ LoadState }) => LoadState === 'loaded').map(unit)
  return found.length > 0 ? found : [note('units', 'none is installed')]
}

function unit({ Id = '', ActiveState, UnitFileState, Result, NRestarts = '0' }: Unit): Finding {
  const what = `${Id}: ${ActiveState}, ${UnitFileState === '' ? 'of this boot only' : UnitFileState}`
  if (ActiveState === 'failed') return problem('units', `${what} (${Result})`, `journalctl -u ${Id}`)
  return NRestarts === '0' ? ok('units', what) : note('units', `${what}, restarted ${NRestarts} times by systemd`, `journalctl -u ${Id}`)
}
