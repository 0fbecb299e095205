import { setTimeout as sleep } from 'node:timers/promises'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { encodeFeature } from '#protocol/messages/connect.js'
import { eventFrame } from '#protocol/messages/frames.js'
import { STREAM_CHUNK_BYTES, streamData } from '#protocol/messages/streams.js'
import { REMOTE } from '#protocol/procedures.js'
import type { Cleanup } from '../support/cleanup.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { frame, type FrameSocket } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'
import { residentMiB } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'

const CLIENTS = 100
const SAMPLE_MS = 5000
/** Until then kernel buffers and the broker's queues, which have bounds, fill up. */
const SETTLE_MS = 15_000
/** Growth after that, in MiB, that is no growth. */
const GROWTH_MIB = 30

/** Writes `block` for ever, as fast as the peer takes it. */
function flood({ socket }: FrameSocket, block: Buffer): void {
  const again = (): void => void (socket.destroyed || socket.write(block, again))
  again()
}

const times = (count: number, make: (index: number) => Buffer): Buffer => Buffer.concat(Array.from({ length: count }, (_, i) => make(i)))

/** What comes for clients that read nothing of it. */
const kinds: Record<string, (client: RawClient, daemon: DriverConnection) => void> = {
  events: (_client, daemon) => flood(daemon, times(16, i => eventFrame(REMOTE.domainEventCallbackLifecycle, pattern(60_000, i)))),
  // Each of a megabyte, to calls of which there are always more.
  replies: client => flood(client, times(100, serial => frame({ proc: REMOTE.domainGetXmlDesc, serial }))),
  'stream data': (client, daemon) => {
    const proc = REMOTE.storageVolDownload
    const id = { prog: PROGRAM.remote, proc, serial: client.post(proc) }
    flood(daemon, times(4, i => streamData(id, pattern(STREAM_CHUNK_BYTES, i))))
  },
  "the broker's own answers": client => flood(client, times(20_000, () => frame({ prog: 99 })))
}

/**
 * A hundred clients that do not read what endlessly comes for them, and are not cut off, since each has a driver connection of
 * its own, which waits with it. Resolves to a report on the
 * broker's memory; rejects if it grew, or if somebody who reads was not served.
 */
export async function soakWithSlowReaders(cleanup: Cleanup, seconds: number): Promise<string> {
  const stage = await Stage.start(cleanup, { driver_sharing: 'off', client_stall_timeout: 0, keepalive_interval: -1, actor_threads: 2 })
  const { pid } = stage.broker.program
  const bystander = (await stage.open()).client
  const large = pattern(1_000_000)
  stage.driver.on(REMOTE.domainGetXmlDesc, () => large)
  stage.driver.on(REMOTE.storageVolDownload, () => Buffer.alloc(0))
  const report = [`at the beginning ${residentMiB(pid).toFixed(0)} MiB`]
  const slow: RawClient[] = []
  for (let i = 0; i < CLIENTS; i++) {
    const { client, daemon } = await stage.open(i % 8 < 4 ? stage.broker.socket : stage.broker.tcpPort)
    // As every libvirt client does: signs of life that nobody reads must not pile up either.
    await client.call(REMOTE.connectSupportsFeature, encodeFeature(10))
    client.stall()
    Object.values(kinds)[i % 4]!(client, daemon)
    slow.push(client)
  }
  await sleep(SETTLE_MS)
  const settled = residentMiB(pid)
  report.push(`with ${CLIENTS} clients that do not read ${settled.toFixed(0)} MiB`)
  let most = settled
  let calls = 0
  const began = performance.now()
  for (let minute = 1; performance.now() < began + 1000 * seconds;) {
    await sleep(SAMPLE_MS)
    const { status, payload } = await bystander.call(REMOTE.domainGetInfo, pattern(20, calls))
    if (status !== STATUS.ok || !payload.equals(pattern(20, calls++))) throw new Error('a client that reads got a wrong answer')
    const now = residentMiB(pid)
    most = Math.max(most, now)
    if (performance.now() < began + 60_000 * minute) continue
    report.push(`after ${minute++} min ${now.toFixed(0)} MiB`)
  }
  report.push(`most ${most.toFixed(0)} MiB, ${calls} calls of one who reads`)
  if (most > settled + GROWTH_MIB) throw new Error(`the broker has grown: ${report.join(', ')}`)
  const gone = slow.filter(({ closed }) => closed).length
  if (gone > 0) throw new Error(`${gone} clients were cut off: ${stage.broker.program.stderr.slice(-2000)}`)
  return report.join(', ')
}
