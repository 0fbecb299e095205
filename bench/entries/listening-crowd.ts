import { REMOTE } from '#protocol/procedures.js'
import type { Bench, Stage } from '../bench.js'
import { Latencies } from '../load/latencies.js'
import type { Load } from '../load/load.js'
import type { Call, Outcome } from '../load/orders.js'
import type { Peer } from '../peers/peers.js'
import type { Figure } from '../results/samples.js'
import { inTurns, turn } from '../rounds.js'
import { CHANGE_DOMAIN, GET_LIB_VERSION, WATCH_DOMAINS } from './calls.js'
import { callingBeside, noneAndMost, recordConnections, withCrowds } from './crowds.js'
import { TEST_URI, type Entry } from './entry.js'

const LISTENING = 'listening clients'
const CALLERS = 16
const AT_A_TIME = 1000
/** Of those who call while an event goes out, and for how long. */
const CALLS_PER_SECOND = 200
const LATE_MS = 60_000

const HALF: Figure = { figure: 'event at half of the clients', unit: 'ms', better: 'lower' }
const LAST: Figure = { figure: 'event at the last client', unit: 'ms', better: 'lower' }
const BESIDE: Figure = { figure: 'slowest call beside an event', unit: 'ms', better: 'lower' }

const CLOSE_CALLBACK: Call = { procedure: REMOTE.connectRegisterCloseCallback, body: new Uint8Array(0) }

/** Those who listen at one peer, and those who call beside them. */
interface Party {
  peer: Peer
  listeners: Load
  callers: Load
}

/** Thousands listen for events and do nothing else: what do they cost those that call, and how soon do they hear? */
export const listeningCrowd: Entry = {
  name: 'listening-crowd',
  claim: 'With shared driver connections, clients that listen for events do not slow down those that call, and hear no later.',
  goals: [
    { figure: 'rate', against: { [LISTENING]: 0 }, limit: 0.9 },
    { figure: LAST.figure, against: 'direct', limit: 1 }
  ],
  async run(bench) {
    const listeners = new Map<Peer, Load>()
    const fill = async (stage: Stage, clients: number): Promise<void> => {
      for (const { peer, load } of await stage.crowds(TEST_URI, clients, AT_A_TIME)) {
        for (const call of [WATCH_DOMAINS, CLOSE_CALLBACK]) {
          checked(bench, peer, await load.order({ do: 'each', call }), 'could not listen')
        }
        listeners.set(peer, load)
      }
    }
    const stage = () => ({ peers: ['virtbroker', 'direct'] } as const)
    await withCrowds(bench, noneAndMost(bench), { callers: CALLERS, stage, fill }, async crowds => {
      await inTurns(bench, {}, callingBeside(crowds, LISTENING, CALLERS))
      recordConnections(bench, crowds, LISTENING)
      const { clients, callers } = crowds.at(-1)!
      await tellAll(bench, clients, callers.map(({ peer, load }) => ({ peer, callers: load, listeners: listeners.get(peer)! })))
    })
  }
}

async function tellAll(bench: Bench, clients: number, parties: readonly Party[]): Promise<void> {
  const point = { [LISTENING]: clients }
  const tell = async ({ peer, listeners }: Party): Promise<Outcome> =>
    checked(bench, peer, await listeners.order({ do: 'tell', call: CHANGE_DOMAIN, ms: LATE_MS }), 'did not hear')
  for (const party of parties) await tell(party)
  for (const round of bench.inTime()) {
    for (const party of turn(parties, round)) {
      const { name } = party.peer
      bench.progress(name, point, `round ${round + 1} of ${bench.scale.rounds}`)
      const heard = new Latencies((await tell(party)).latencies)
      bench.record(name, point, round, HALF, heard.percentile(50) / 1000)
      bench.record(name, point, round, LAST, heard.maximum / 1000)
      const { sliceMs: ms } = bench.scale
      const calls = party.callers.order({ do: 'fixed-rate', call: GET_LIB_VERSION, ms, callsPerSecond: CALLS_PER_SECOND })
      await tell(party)
      bench.record(name, point, round, BESIDE, new Latencies((await calls).latencies).maximum / 1000)
    }
  }
}

function checked(bench: Bench, peer: Peer, outcome: Outcome, what: string): Outcome {
  const { failures, firstFailure } = outcome
  if (failures > 0) bench.warn(`${peer.name}: ${failures} clients ${what}: ${firstFailure}`)
  return outcome
}
