import { readFileSync } from 'node:fs'

/** Descriptors that a process started from here may have. */
export function mostDescriptors(): number {
  const [, most] = /^Max open files +\S+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return most === undefined ? Infinity : Number(most)
}
