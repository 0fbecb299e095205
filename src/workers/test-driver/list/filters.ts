/** Two bits of a call that lists: objects for which `is` holds, and all others. */
export type Pair<T> = readonly [yes: number, no: number, is: (object: T) => boolean]

/** Bits of one pair do not filter when neither or both are set. */
export function passes<T>(object: T, flags: number, pairs: readonly Pair<T>[]): boolean {
  return pairs.every(([yes, no, is]) => !(flags & (yes | no)) || (flags & (is(object) ? yes : no)) !== 0)
}

/** True if none of the group's bits is set, or that of the object. */
export const inGroup = (flags: number, group: number, own: number): boolean => !(flags & group) || (flags & own) !== 0

/** `VIR_CONNECT_LIST_NETWORKS_*`, and the same of storage pools. */
export const KEPT_PAIRS: readonly Pair<{ active: boolean; persistent: boolean; autostart: boolean }>[] = [
  [2, 1, object => object.active],
  [4, 8, object => object.persistent],
  [16, 32, object => object.autostart]
]
export const ALL_KEPT = 0x3f
