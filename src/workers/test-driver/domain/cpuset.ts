/** The CPUs of a bit map, as in `0-3,7`. */
export function formatCpus(map: Buffer): string {
  const runs: string[] = []
  const total = map.length * 8
  const has = (cpu: number): boolean => (map[cpu >> 3]! & (1 << (cpu & 7))) !== 0
  for (let cpu = 0; cpu < total; cpu++) {
    if (!has(cpu)) continue
    const first = cpu
    while (cpu + 1 < total && has(cpu + 1)) cpu++
    runs.push(first === cpu ? String(first) : `${first}-${cpu}`)
  }
  return runs.join(',')
}

/** The bit map of `0-3,7`, `bytes` long; what does not fit is left out. Undefined if the text is no such list. */
export function parseCpus(text: string, bytes: number): Buffer | undefined {
  const map = Buffer.alloc(bytes)
  for (const run of text.split(',')) {
    const match = /^\s*(\^?)(\d+)(?:-(\d+))?\s*$/.exec(run)
    if (!match) return undefined
    const last = Math.min(Number(match[3] ?? match[2]), bytes * 8 - 1)
    for (let cpu = Number(match[2]); cpu <= last; cpu++) {
      if (match[1]) map[cpu >> 3]! &= ~(1 << (cpu & 7))
      else map[cpu >> 3]! |= 1 << (cpu & 7)
    }
  }
  return map
}

/** CPUs 0 to `count` − 1. */
export function firstCpus(count: number, bytes: number): Buffer {
  return parseCpus(`0-${Math.max(count - 1, 0)}`, bytes)!
}
