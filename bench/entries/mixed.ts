import type { Call } from '../load/orders.js'
import { measure, record } from '../measure.js'
import type { Figure } from '../results/samples.js'
import { turn } from '../rounds.js'
import { CHANGE_DOMAIN, GET_LIB_VERSION, WATCH_DOMAINS } from './calls.js'
import { TEST_URI, type Entry } from './entry.js'
import { createVolume, download, storageUri } from './volumes.js'

const CALLERS = 16
const CALLS_PER_SECOND = 500
const WATCHERS = 8
const CHANGES_PER_SECOND = 50

const DELIVERED: Figure = { figure: 'events delivered', unit: 'of 1', better: 'higher' }
const DOWNLOADED: Figure = { figure: 'download beside', unit: 'MiB/s', better: 'higher' }

/** Calls, events and a download at the same time, through the same peer. */
export const mixed: Entry = {
  name: 'mixed',
  claim: 'While a volume is downloaded, events arrive and the slow calls are no slower than through HAProxy.',
  goals: [
    { figure: 'latency p99', against: 'haproxy', limit: 1.1 },
    { figure: 'latency p99', against: 'libvirtd', limit: 1.0 }
  ],
  needsLibvirtd: true,
  run: bench => bench.onStage({ driver: 'libvirtd', storage: true }, async stage => {
    const { rounds, warmMs, sliceMs, streamBytes } = bench.scale
    const point = { 'calls/s': CALLS_PER_SECOND }
    const parties = await Promise.all(stage.peers.map(async peer => {
      const [callers, watchers, changer, downloader] = [stage.load(), stage.load(), stage.load(), stage.load()]
      await callers.open(peer.target(TEST_URI), CALLERS)
      await watchers.open(peer.target(TEST_URI), WATCHERS)
      await watchers.order({ do: 'each', call: WATCH_DOMAINS })
      await changer.open(peer.target(TEST_URI), 1)
      await downloader.open(peer.target(storageUri()), 1)
      const volume = await createVolume(downloader, peer.driver.directory, streamBytes)
      return { peer, callers, watchers, changer, downloader, volume }
    }))
    const calls = (ms: number, callsPerSecond: number, call: Call) =>
      ({ do: 'fixed-rate', call, ms, callsPerSecond }) as const
    for (const { callers } of parties) await callers.order(calls(warmMs, CALLS_PER_SECOND, GET_LIB_VERSION))
    for (const round of bench.inTime()) {
      for (const { peer, callers, watchers, changer, downloader, volume } of turn(parties, round)) {
        bench.progress(peer.name, point, `round ${round + 1} of ${rounds}`)
        const changes = changer.order(calls(sliceMs, CHANGES_PER_SECOND, CHANGE_DOMAIN))
        const watched = watchers.order({ do: 'watch', ms: sliceMs + 500 })
        const data = downloader.order(download(volume, streamBytes))
        const work = () => callers.order(calls(sliceMs, CALLS_PER_SECOND, GET_LIB_VERSION))
        const measured = await measure(bench, peer, callers.pid, work)
        record(bench, peer, point, round, measured, { cpu: false, rate: false })
        const { count, failures, firstFailure } = await changes
        if (failures > 0) bench.warn(`${peer.name}: ${failures} changes failed, first: ${firstFailure}`)
        bench.record(peer.name, point, round, DELIVERED, (await watched).events / (count * WATCHERS))
        const { bytes, ms, firstFailure: broken } = await data
        if (broken !== undefined) bench.warn(`${peer.name}: the download failed: ${broken}`)
        bench.record(peer.name, point, round, DOWNLOADED, bytes / 2 ** 20 / (ms / 1000))
      }
    }
  })
}
