/**
 *     authenticating ─► authenticated ◄─► opening ◄── lost ◄─► reopening
 *            │                │               │          ▲           │
 *            │                │               └─► open ──┘           │
 *            │                │                    │ ▲───────────────┘
 *            └──────────┬─────┴────────────────────┴─────────┘
 *                       ▼
 *                    closing ─► closed
 */
export type SessionState =
  'authenticating' | 'authenticated' | 'opening' | 'open' | 'lost' | 'reopening' | 'closing' | 'closed'

/** What each state may become. */
export const LEGAL: Record<SessionState, readonly SessionState[]> = {
  authenticating: ['authenticated', 'closing', 'closed'],
  authenticated: ['opening', 'closing', 'closed'],
  opening: ['open', 'authenticated', 'closing', 'closed'],
  open: ['lost', 'closing', 'closed'],
  /** The driver daemon went away; the client may open again, or is reconnected to the restarted daemon. */
  lost: ['opening', 'reopening', 'closing', 'closed'],
  reopening: ['open', 'lost', 'closing', 'closed'],
  /** CONNECT_CLOSE was answered; what is queued is still written. */
  closing: ['closed'],
  closed: []
}
