import type { Stage } from '../bench.js'
import type { Load } from '../load/load.js'
import type { Call } from '../load/orders.js'
import type { Peer } from '../peers/peers.js'
import type { Contender } from '../rounds.js'
import { TEST_URI } from './entry.js'

/** Every client of the crowds calls again as soon as it has its reply. */
export const calling = (crowds: readonly { peer: Peer; load: Load }[], call: Call): Contender[] =>
  crowds.map(({ peer, load }) => ({ peer, load, work: ms => load.order({ do: 'closed-loop', call, ms }) }))

/** Clients of each peer connect, open and close without pause, `parallel` at a time. */
export const comingAndGoing = (stage: Stage, parallel: number): Contender[] =>
  stage.peers.map(peer => {
    const load = stage.load()
    const target = peer.target(TEST_URI)
    return { peer, load, work: ms => load.order({ do: 'cycles', target, ms, parallel }) }
  })
