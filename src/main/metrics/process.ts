import { readdir, stat } from 'node:fs/promises'
import { gauge, only, type Source } from './metric.js'

const DESCRIPTORS = '/proc/self/fd'

/** Linux 6.2 and later say how many there are; before that they are counted, while one more is open. */
export async function openDescriptors(): Promise<number> {
  const { size } = await stat(DESCRIPTORS)
  return size > 0 ? size : (await readdir(DESCRIPTORS)).length - 1
}

/** In milliseconds since the epoch. */
export const startedAt = Date.now() - Math.round(1000 * process.uptime())

/** `maxFds`: the limit of open files; infinite where there is none. */
export const processSource = (version: string, maxFds: number): Source => async () => {
  const fds = await openDescriptors()
  return [
    gauge('build_info', 'What runs: always 1.', [{ labels: { version, node: process.versions.node }, value: 1 }]),
    gauge('start_time_seconds', 'When the process was started, in seconds since 1970.', only(startedAt / 1000)),
    gauge('open_fds', 'Open file descriptors.', only(fds)),
    gauge('max_fds', 'How many descriptors the process opens itself at most.', only(maxFds)),
    gauge('resident_memory_bytes', 'Memory of the whole process that is in RAM.', only(process.memoryUsage.rss()))
  ]
}
