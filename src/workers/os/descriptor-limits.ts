import { readFileSync } from 'node:fs'

/** How the descriptors that the process may have are shared out. */
export interface DescriptorLimits {
  /** Those that the process opens itself have numbers below this: the table never gets full by them. */
  readonly own: number
  /** Descriptors of others that each thread may hold. */
  readonly foreign: number
}

/** What a message can carry (`SCM_MAX_FD`): nobody knows how many come before they are there. */
const MESSAGE_DESCRIPTORS = 253
/** Less is not shared out: a process with so few has other worries. */
const LEAST_SHARED = 512
const LEAST_FOREIGN = 1024
const MOST_FOREIGN = 4096

/**
 * A message whose descriptors find no room is no harmless failure: the kernel then closes them in the thread that
 * received it. So there is room for what `threads` threads may hold, and for one more message in each.
 */
export function descriptorLimits(threads: number): DescriptorLimits {
  const all = openFilesLimit()
  const share = Math.max(0, Math.min(all - LEAST_SHARED, 1 << 20)) / 4 / threads - MESSAGE_DESCRIPTORS
  const foreign = Math.floor(Math.min(Math.max(share, LEAST_FOREIGN), MOST_FOREIGN))
  const kept = Math.min(threads * (foreign + MESSAGE_DESCRIPTORS), Math.max(0, all - LEAST_SHARED) / 4)
  return { own: all - Math.floor(kept), foreign }
}

/** The soft limit of open files, which Node has raised to the hard one. */
function openFilesLimit(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))
  return line === null ? Infinity : Number(line[1])
}
