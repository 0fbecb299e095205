import { readdirSync, readFileSync } from 'node:fs'

const TICKS_PER_SECOND = 100

/** What the operating system has on a process's account, all threads. */
export interface CpuReading {
  /** utime + stime, in 1/100 s. */
  ticks: number
  /** Nanoseconds on a CPU by thread; empty where the kernel does not tell. */
  threads: ReadonlyMap<string, number>
}

export function readCpu(pid: number): CpuReading {
  // The name, in parentheses, may itself hold blanks and parentheses.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')
  const threads = new Map<string, number>()
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const [onCpu] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')
      threads.set(thread, Number(onCpu))
    } catch {
      // The thread has just ended, or the kernel keeps no such statistics.
    }
  }
  return { ticks: Number(fields[11]) + Number(fields[12]), threads }
}

/**
 * Seconds of CPU between two readings. The threads' own account is exact, but what an ended thread used is gone with
 * it; the process's account has everything, in steps of 10 ms.
 */
export function cpuSeconds(before: CpuReading, after: CpuReading): number {
  const coarse = (after.ticks - before.ticks) / TICKS_PER_SECOND
  if (after.threads.size === 0) return coarse
  let nanoseconds = 0
  for (const [thread, time] of after.threads) nanoseconds += time - (before.threads.get(thread) ?? 0)
  const threadsEnded = [...before.threads.keys()].some(thread => !after.threads.has(thread))
  return threadsEnded ? Math.max(coarse, nanoseconds / 1e9) : nanoseconds / 1e9
}

/** The whole machine since it started, in seconds of CPU. */
export interface MachineCpu {
  busy: number
  /** Taken by the hypervisor for other guests. */
  stolen: number
  total: number
}

export function readMachineCpu(): MachineCpu {
  const line = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softIrq = 0, stolen = 0] = line
    .split(/ +/)
    .slice(1)
    .map(ticks => Number(ticks) / TICKS_PER_SECOND)
  const busy = user + nice + system + irq + softIrq
  return { busy, stolen, total: busy + idle + wait + stolen }
}
