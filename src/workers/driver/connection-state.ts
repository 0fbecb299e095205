/**
 *     opening ─► serving ─► leaving
 *        └──────────┴──────────┴─► closed
 */
export type ConnectionState = 'opening' | 'serving' | 'leaving' | 'closed'

/** What each state of a connection to a driver daemon may become. */
export const LEGAL: Record<ConnectionState, readonly ConnectionState[]> = {
  /** Its loss is told to whoever opens it, by the failure of own calls. */
  opening: ['serving', 'closed'],
  /** A session uses it. */
  serving: ['leaving', 'closed'],
  /** CONNECT_CLOSE is with the daemon. */
  leaving: ['closed'],
  closed: []
}
