import type { BrokerCalls } from '../../protocol/messages/broker-admin.js'
import type { Counters } from '../../workers/thread/counters.js'
import { OUTCOME, OUTCOMES, SLOT, SLOT_WORDS, SLOTS_AT, SLOTS_USED_AT } from '../../workers/thread/metric-families.js'

/** All calls that threads have counted; undefined where they count none. */
export function callsOf(counters: readonly Counters[]): BrokerCalls | undefined {
  const calls = { ok: 0, error: 0, refused: 0, lost: 0, timeout: 0 }
  let counting = false
  for (const { words } of counters) {
    const slots = words[SLOTS_USED_AT]!
    counting ||= slots > 0
    for (let slot = 0; slot < slots; slot++) {
      const at = SLOTS_AT + slot * SLOT_WORDS + SLOT.outcomes
      for (const outcome of OUTCOMES) calls[outcome] += words[at + OUTCOME[outcome]]!
    }
  }
  return counting ? calls : undefined
}
