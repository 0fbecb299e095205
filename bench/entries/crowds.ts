import type { Bench, Stage, StageWish } from '../bench.js'
import type { Load } from '../load/load.js'
import type { Peer } from '../peers/peers.js'
import type { Figure } from '../results/samples.js'
import type { Contender } from '../rounds.js'
import { socketConnections } from '../system/socket-connections.js'
import { GET_LIB_VERSION } from './calls.js'
import { TEST_URI } from './entry.js'

/** More clients of one peer than these are not tried where opening them takes minutes. */
export const MOST_CLIENTS = 4000
const CONNECTIONS: Figure = { figure: 'connections at the driver', unit: '', better: 'lower' }

/** Clients that are there, and a few others of the same peers that call. */
export interface Crowd {
  clients: number
  stage: Stage
  callers: readonly { peer: Peer; load: Load }[]
}

/** What crowds are made of. */
export interface CrowdWish {
  /** Who calls beside each. */
  callers: number
  /** What one of so many needs; the broker shares driver connections. */
  stage: (clients: number) => StageWish
  /** Brings the clients to the peers. */
  fill: (stage: Stage, clients: number) => Promise<void>
}

/**
 * Does `work` with a crowd of each size. Each has peers and daemons of its own, and all are there at the same time: what is
 * between two turns is nothing but the crowd.
 */
export async function withCrowds(
  bench: Bench, sizes: readonly number[], wish: CrowdWish, work: (crowds: readonly Crowd[]) => Promise<void>, there: readonly Crowd[] = []
): Promise<void> {
  const [clients, ...more] = sizes
  if (clients === undefined) return work(there)
  await bench.onStage({ sharing: true, ...wish.stage(clients) }, async stage => {
    const callers = await stage.crowds(TEST_URI, wish.callers)
    await wish.fill(stage, clients)
    await withCrowds(bench, more, wish, work, [...there, { clients, stage, callers }])
  })
}

/** The first `callers` beside each crowd, which is told apart by `axis`. */
export const callingBeside = (crowds: readonly Crowd[], axis: string, callers: number): Contender[] =>
  crowds.flatMap(({ clients, callers: beside }) => beside.map(({ peer, load }) => ({
    peer, load, at: { [axis]: clients },
    work: ms => load.order({ do: 'closed-loop', call: GET_LIB_VERSION, ms, clients: callers })
  })))

/** How many connections each daemon has. */
export function recordConnections(bench: Bench, crowds: readonly Crowd[], axis: string): void {
  for (const { stage, clients } of crowds) {
    for (const { name, driver } of stage.peers) {
      bench.record(name, { [axis]: clients }, 0, CONNECTIONS, socketConnections(driver.socket))
    }
  }
}

/** Nobody, and as many as there can be. */
export const noneAndMost = (bench: Bench): [number, number] => [0, mostClients(bench)]

export const mostClients = (bench: Bench): number => Math.max(...bench.scale.crowds.filter(size => size <= MOST_CLIENTS))
