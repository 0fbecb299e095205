import { execFile } from 'node:child_process'

const SYSTEMCTL_MS = 3000

/** Properties of a unit. One that has several values has them on lines of their own. */
export type Unit = Readonly<Record<string, string>>

/** What systemd says of units. Undefined if it does not say. */
export function shownUnits(names: readonly string[], properties: readonly string[]): Promise<Unit[] | undefined> {
  return new Promise(resolve => {
    execFile('systemctl', ['show', `--property=${properties.join()}`, ...names], { timeout: SYSTEMCTL_MS }, (error, text) => {
      resolve(error === null ? unitsIn(text) : undefined)
    })
  })
}

/** Of `systemctl show`: lines of NAME=VALUE, and an empty one between units. */
export const unitsIn = (text: string): Unit[] => text.trim().split('\n\n').map(unitIn)

function unitIn(block: string): Unit {
  const unit: Record<string, string> = {}
  for (const line of block.split('\n')) {
    const at = line.indexOf('=')
    const [name, value] = [line.slice(0, at), line.slice(at + 1)]
    unit[name] = unit[name] === undefined ? value : `${unit[name]}\n${value}`
  }
  return unit
}
