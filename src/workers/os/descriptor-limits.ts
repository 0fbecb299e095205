import { readFileSync } from 'node:fs'
import { SCM_MAX_FD } from './libc.js'

/** How the descriptors that the process may have are shared out. */
export interface DescriptorLimits {
  /** Those that the process opens itself have numbers below this: the table never gets full by them. */
  readonly own: number
  /** Descriptors of others that each thread may hold. */
  readonly foreign: number
}

/** A process with so few has other worries. */
const FEW = 512
/** Of the rest, what is kept for others at most. */
const PART = 1 / 16
/** A connection may have some hundred, with calls that wait. */
const LEAST_FOREIGN = 1024
const MOST_FOREIGN = 4096

/**
 * A message whose descriptors find no room is no harmless failure: the kernel then closes them in the thread that
 * received it. So room is kept for what `threads` threads may hold, and for one more message in each; as far as it goes,
 * where the process may have only a few thousand.
 */
export function descriptorLimits(threads: number): DescriptorLimits {
  const all = openFilesLimit()
  const part = Math.max(0, all - FEW) * PART
  const foreign = Math.floor(Math.min(Math.max(part / threads - SCM_MAX_FD, LEAST_FOREIGN), MOST_FOREIGN))
  return { own: all - Math.floor(Math.min(part, threads * (foreign + SCM_MAX_FD))), foreign }
}

/** The soft limit of open files, which Node has raised to the hard one. */
function openFilesLimit(): number {
  const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))
  return line === null ? Infinity : Number(line[1])
}
