import { invalidArgument } from '../../protocol/bad-arguments.js'
import type { ThreadPool, WantedThreadPool } from './ports.js'

/** What would be, if that is possible at all. Throws libvirt's error for bounds that contradict each other. */
export function checkedBounds(wanted: WantedThreadPool, now: ThreadPool): ThreadPool {
  const would = { ...now, ...wanted }
  if (would.minWorkers > would.maxWorkers) throw invalidArgument('minWorkers cannot be larger than maxWorkers')
  if (would.maxWorkers === 0) throw invalidArgument('maxWorkers must not be switched from zero to non-zero and vice versa')
  return would
}
