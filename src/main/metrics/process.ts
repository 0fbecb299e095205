import { readdir } from 'node:fs/promises'
import { gauge, only, type Source } from './metric.js'

/** `maxFds`: the limit of open files; infinite where there is none. */
export const processSource = (version: string, maxFds: number): Source => {
  const startedAt = Date.now() / 1000 - process.uptime()
  return async () => {
    // One more is open while they are read.
    const fds = (await readdir('/proc/self/fd')).length - 1
    return [
      gauge('build_info', 'What runs: always 1.', [{ labels: { version, node: process.versions.node }, value: 1 }]),
      gauge('start_time_seconds', 'When the process was started, in seconds since 1970.', only(startedAt)),
      gauge('open_fds', 'Open file descriptors.', only(fds)),
      gauge('max_fds', 'How many descriptors the process opens itself at most.', only(maxFds)),
      gauge('resident_memory_bytes', 'Memory of the whole process that is in RAM.', only(process.memoryUsage.rss()))
    ]
  }
}
