import type { Figure } from '../results/samples.js'
import { residentBytes, slope } from '../system/memory.js'
import { quiet } from '../system/quiet.js'
import { TEST_URI, type Entry } from './entry.js'

const AT_A_TIME = 64
/** Fewer points make no line. */
const LEAST_SLICES = 4

const GROWTH: Figure = { figure: 'growth of memory', unit: 'kB/1000 clients', better: 'lower' }
const MOST: Figure = { figure: 'most resident memory', unit: 'MB', better: 'lower' }

/** Clients come and go, and memory is looked at when none is there. `--rounds 1800` takes about an hour a peer. */
export const churnMemory: Entry = {
  name: 'churn-memory',
  claim: 'However many clients come and go, memory stays where it is.',
  goals: [],
  run: bench => bench.onStage({}, async stage => {
    const { rounds, sliceMs, warmMs } = bench.scale
    for (const peer of stage.peers) {
      if (peer.pid === undefined) continue
      const load = stage.load()
      const point = { 'at a time': AT_A_TIME }
      const cycles = (ms: number) =>
        load.order({ do: 'cycles', target: peer.target(TEST_URI), ms, parallel: AT_A_TIME })
      bench.progress(peer.name, point, 'warming up')
      await cycles(2 * warmMs)
      const points: { x: number; y: number }[] = []
      let gone = 0
      for (let slice = 0; slice < Math.max(LEAST_SLICES, rounds); slice++) {
        bench.progress(peer.name, point, `after ${gone} clients`)
        const { count, failures, firstFailure } = await cycles(sliceMs)
        if (failures > 0) bench.warn(`${peer.name}: ${failures} failures, first: ${firstFailure}`)
        gone += count
        await quiet([peer.pid, ...peer.driver.pids])
        points.push({ x: gone, y: residentBytes(peer.pid) })
      }
      bench.record(peer.name, point, 0, GROWTH, slope(points))
      bench.record(peer.name, point, 0, MOST, Math.max(...points.map(({ y }) => y)) / 1e6)
      await load.stop()
    }
  })
}
