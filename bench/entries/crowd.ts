import type { PeerName } from '../peers/peers.js'
import type { Point } from '../results/samples.js'
import { inTurns } from '../rounds.js'
import { callingBeside, MOST_CLIENTS, noneAndMost, recordConnections, withCrowds, type CrowdWish } from './crowds.js'
import { TEST_URI, type Entry } from './entry.js'

const IDLE = 'idle clients'
const CALLERS = 16
/** Clients that come at the same time: a daemon then has them in fewer turns of its loop. */
const AT_A_TIME = 1000
/**
 * Who is there at the same time. A libvirtd that is a proxy asks each of its connections every few seconds whether it lives, and
 * thousands of those would be measured with all others.
 */
const TOGETHER: readonly (readonly PeerName[])[] = [['virtbroker', 'haproxy', 'direct'], ['libvirtd']]

const beside = (clients: number) => (point: Point): boolean => point[IDLE] === clients
const NONE: Point = { callers: CALLERS, [IDLE]: 0 }

const idle = (callers: number, peers: readonly PeerName[]): CrowdWish => ({
  callers,
  stage: clients => ({ peers: peers.filter(name => name === 'virtbroker' || clients <= MOST_CLIENTS) }),
  fill: async (stage, clients) => void await stage.crowds(TEST_URI, clients, AT_A_TIME)
})

/** Thousands have a name open and do nothing; how well are a few served that call? */
export const crowd: Entry = {
  name: 'crowd',
  claim: 'With shared driver connections, idle clients do not slow down those that call.',
  goals: [
    { figure: 'rate', against: NONE, limit: 0.9 },
    { figure: 'latency p99', against: NONE, limit: 1.5, at: beside(4000) },
    { figure: 'rate', against: 'direct', limit: 4, at: beside(2000) },
    { figure: 'rate', against: 'direct', limit: 12, at: beside(4000) }
  ],
  async run(bench) {
    for (const peers of TOGETHER) {
      await withCrowds(bench, bench.scale.crowds, idle(CALLERS, peers), async crowds => {
        await inTurns(bench, { callers: CALLERS }, callingBeside(crowds, IDLE, CALLERS))
        recordConnections(bench, crowds, IDLE)
      })
    }
  }
}

/** The same with one that calls: what it waits for is all that a call takes. */
export const loneCaller: Entry = {
  name: 'lone-caller',
  claim: 'With shared driver connections, a call beside thousands of idle clients takes as long as beside none.',
  goals: [{ figure: 'latency p50', against: 'direct', limit: 1 / 50, at: beside(4000) }],
  run: bench => withCrowds(bench, noneAndMost(bench), idle(1, ['virtbroker', 'direct']), crowds =>
    inTurns(bench, {}, callingBeside(crowds, IDLE, 1)))
}
