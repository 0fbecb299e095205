import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import type { Bench, Stage, StageWish } from '../bench.js'
import { metricsIn } from '../peers/peers.js'
import { inTurns, type Contender } from '../rounds.js'
import { FULL } from '../scale.js'
import { GET_LIB_VERSION } from './calls.js'
import { calling } from './contenders.js'
import { TEST_URI, type Entry } from './entry.js'

/** Prometheus asks once in so long; here of the time for which the broker has work. */
const SCRAPE_MS = 15_000
/** The driver that does nothing but answer: its own ups and downs are the smallest. */
const OFF: StageWish = { driver: 'answering', peers: ['virtbroker'] }
const ON: StageWish = { ...OFF, metrics: true }
const WATCHED: StageWish = { ...ON, slowCalls: true }

/** Three brokers of one build, in turns: one counts calls and is scraped, one also watches for slow calls, one does nothing of it. */
export const metricsCost: Entry = {
  name: 'metrics-cost',
  claim: 'Metrics that are scraped cost a small call at most 2 % of its CPU.',
  goals: FULL.clients.map(clients => ({
    figure: 'CPU of the proxy', against: { clients, metrics: 'off' }, limit: 1.02,
    at: point => point['clients'] === clients && point['metrics'] === 'on'
  })),
  run: bench => {
    const isDue = dueEvery(SCRAPE_MS)
    return bench.onStages(OFF, (off, rounds) =>
      bench.onStage(ON, on => bench.onStage(WATCHED, watched => compare(bench, { off, on, watched }, rounds, isDue)))
    )
  }
}

type IsDue = (ms: number) => boolean

interface Stages {
  off: Stage
  on: Stage
  /** With slow calls looked for, too. */
  watched: Stage
}

async function compare(bench: Bench, stages: Stages, rounds: readonly number[], isDue: IsDue): Promise<void> {
  for (const clients of bench.scale.clients) {
    const contenders: Contender[] = []
    for (const [metrics, stage] of Object.entries(stages) as [keyof Stages, Stage][]) {
      for (const contender of calling(await stage.crowds(TEST_URI, clients), GET_LIB_VERSION)) {
        const work = metrics === 'off' ? contender.work : scraped(stage, contender, isDue)
        contenders.push({ ...contender, at: { metrics }, work })
      }
    }
    await inTurns(bench, { clients }, contenders, {}, rounds)
    for (const stage of Object.values(stages) as Stage[]) await stage.disperse()
  }
}

/** Whether it is time again, after so many more milliseconds of work. */
function dueEvery(everyMs: number): IsDue {
  let sinceMs = 0
  return ms => {
    sinceMs += ms
    if (sinceMs < everyMs) return false
    sinceMs -= everyMs
    return true
  }
}

/** The contender's work, and a scrape of its broker when it is due. */
const scraped = ({ directory }: Stage, { peer, work }: Contender, isDue: IsDue): Contender['work'] => async ms => {
  const scrapes = isDue(ms) ? scrape(metricsIn(path.join(directory, peer.name))) : undefined
  const [outcome] = await Promise.all([work(ms), scrapes])
  return outcome
}

async function scrape(socketPath: string): Promise<void> {
  const [response] = (await once(get({ socketPath, path: '/metrics' }), 'response')) as [IncomingMessage]
  const page = await text(response)
  if (!page.includes('virtbroker_calls_total')) throw new Error(`${response.statusCode ?? ''} instead of metrics: ${page}`)
}
