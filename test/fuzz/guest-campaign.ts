import { Clock } from '#workers/base/clock.js'
import { FAMILIES } from '#workers/thread/metric-families.js'
import type { Cleanup } from '../support/cleanup.js'
import { GuestCrowd } from '../support/guest-crowd.js'
import { Random } from '../support/random.js'
import { SharedTrial } from '../support/shared-trial.js'
import type { Campaign, Outcome } from './campaign.js'
import { attackWithClients } from './client-campaign.js'

const CALLS_AT_A_TIME = 1000

/** Hostile clients that share driver connections with others who behave. */
export const attackAsGuests = (cleanup: Cleanup, campaign: Campaign): Promise<Outcome> =>
  attackWithClients(cleanup, campaign, { driver_sharing: 'identity' })

/** The same, where identical reads become one. */
export const attackAsReaders = (cleanup: Cleanup, campaign: Campaign): Promise<Outcome> =>
  attackWithClients(cleanup, campaign, { driver_sharing: 'identity', collapse_reads: 1 })

/**
 * Calls of many identities that share driver connections, each of which must have its own answer, or none. Whether identical
 * reads become one changes on the way.
 */
export async function callInACrowd(cleanup: Cleanup, { seed, enough }: Campaign): Promise<Outcome> {
  const failed = (_: unknown, error: unknown): void => { throw error }
  const clock = new Clock(failed)
  cleanup.defer(() => Promise.resolve(clock.stop()))
  const trial = new SharedTrial(clock)
  const crowd = new GuestCrowd(trial, new Random(seed))
  const { report } = crowd
  while (!enough(report.calls)) {
    await crowd.call(report.calls + CALLS_AT_A_TIME)
    trial.settings.collapseReads = !trial.settings.collapseReads
  }
  trial.pool.stop()
  if (trial.failures.length > 0) throw new Error('an unexpected failure', { cause: trial.failures[0] })
  const joined = trial.counters.get(FAMILIES.joinedCalls)
  const { calls, answered, clients, deaths, lost, twice, toNobody } = report
  return {
    frames: calls,
    report: `${calls} calls of ${clients} clients, ${answered} answered, ${joined} with the reply to another, ` +
      `${lost} lost with ${deaths} connections, ` +
      `${twice} answered twice, ${toNobody} for connections that had gone`
  }
}
