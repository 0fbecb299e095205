import { inGroup, type Pair, passes } from '../list/filters.js'
import type { Domain } from './domain.js'
import { STATE } from './states.js'

/** `VIR_CONNECT_LIST_DOMAINS_*` in pairs; the four of state (16 … 128) are a group of their own. */
const PAIRS: readonly Pair<Domain>[] = [
  [1, 2, domain => domain.active],
  [4, 8, domain => domain.persistent],
  [0x100, 0x200, domain => domain.managedSave],
  [0x400, 0x800, domain => domain.autostart],
  [0x1000, 0x2000, domain => domain.snapshots.size > 0],
  [0x4000, 0x8000, domain => domain.checkpoints.size > 0]
]
const STATES = 0xf0
export const DOMAIN_FILTERS = 0xffff

function stateFlag(state: number): number {
  if (state === STATE.running) return 16
  if (state === STATE.paused) return 32
  return state === STATE.shutoff ? 64 : 128
}

/** Bits of one group are alternatives; a group without a bit does not filter. */
export function fitsFilter(domain: Domain, flags: number): boolean {
  return passes(domain, flags, PAIRS) && inGroup(flags, STATES, stateFlag(domain.state))
}
