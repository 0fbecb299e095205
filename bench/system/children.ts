import { readdirSync, readFileSync } from 'node:fs'

/** The processes that a process has started. */
export function childrenOf(pid: number): number[] {
  const parent = (other: string): number | undefined => {
    try {
      return Number(readFileSync(`/proc/${other}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[1])
    } catch {
      // It has just ended.
      return undefined
    }
  }
  return readdirSync('/proc').filter(name => /^\d+$/.test(name) && parent(name) === pid).map(Number)
}
