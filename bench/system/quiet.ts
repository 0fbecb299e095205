import { setTimeout as sleep } from 'node:timers/promises'
import { cpuSeconds, readCpu } from './cpu.js'

const LOOK_MS = 200
/** Of one core. */
const BUSY = 0.1
const PATIENCE_MS = 60_000

/** Resolves when the processes have done what the last measurement left to them, e.g. closing many connections. */
export async function quiet(pids: readonly (number | undefined)[]): Promise<void> {
  const known = pids.filter(pid => pid !== undefined)
  const end = performance.now() + PATIENCE_MS
  let used = Infinity
  while (used > (BUSY * LOOK_MS) / 1000 && performance.now() < end) {
    const before = known.map(readCpu)
    await sleep(LOOK_MS)
    used = Math.max(...known.map((pid, i) => cpuSeconds(before[i]!, readCpu(pid))))
  }
}
