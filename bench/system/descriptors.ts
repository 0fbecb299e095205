import { readdirSync, readFileSync } from 'node:fs'

/** Descriptors that a process started from here may have. */
export function mostDescriptors(): number {
  const [, most] = /^Max open files +\S+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return most === undefined ? Infinity : Number(most)
}

/** Descriptors that a process has. */
export const openDescriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length
