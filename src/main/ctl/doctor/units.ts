import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { note, ok, problem, type Finding } from './finding.js'

const OURS = ['.service', '.socket', '-ro.socket', '-admin.socket', '-tcp.socket', '-tls.socket'].map(end => `virtbrokerd${end}`)
const THEIRS = ['libvirtd.service', 'libvirtd.socket', 'virtproxyd.service', 'virtproxyd.socket']
const PROPERTIES = 'Id,LoadState,ActiveState,UnitFileState,Result,NRestarts'
const SYSTEMCTL_MS = 3000

type Unit = Readonly<Record<string, string>>

/** Units of the broker, and of what has the same sockets. */
export async function units(): Promise<Finding[]> {
  if (!existsSync('/run/systemd/system')) return [note('units', 'systemd does not run here')]
  const shown = await show([...OURS, ...THEIRS])
  if (shown === undefined) return [note('units', 'systemctl does not answer')]
  const found = shown.filter(({ LoadState }) => LoadState === 'loaded').map(unit)
  return found.length > 0 ? found : [note('units', 'none is installed')]
}

function unit({ Id = '', ActiveState, UnitFileState, Result, NRestarts = '0' }: Unit): Finding {
  const what = `${Id}: ${ActiveState}, ${UnitFileState === '' ? 'of this boot only' : UnitFileState}`
  if (ActiveState === 'failed') return problem('units', `${what} (${Result})`, `journalctl -u ${Id}`)
  return NRestarts === '0' ? ok('units', what) : note('units', `${what}, restarted ${NRestarts} times by systemd`, `journalctl -u ${Id}`)
}

/** Undefined if systemd does not say. */
function show(names: readonly string[]): Promise<Unit[] | undefined> {
  return new Promise(resolve => {
    execFile('systemctl', ['show', `--property=${PROPERTIES}`, ...names], { timeout: SYSTEMCTL_MS }, (error, text) => {
      resolve(error === null ? unitsIn(text) : undefined)
    })
  })
}

/** Of `systemctl show`: lines of NAME=VALUE, and an empty one between units. */
export const unitsIn = (text: string): Unit[] =>
  text.trim().split('\n\n').map(block => Object.fromEntries(block.split('\n').map(line => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)]
  })))
