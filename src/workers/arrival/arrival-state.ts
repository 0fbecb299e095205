import type { TransportKind } from '../os/listener-kind.js'

/**
 *                  ┌─► handshake ───┐
 *     accepted ─► [proxy] ──────────┼─► begun
 *         │        └────────────────┤
 *         └─► identifying ──────────┘        each of them but begun ─► closed
 */
export type ArrivalState = 'accepted' | Step | 'begun' | 'closed'

/** What a connection can go through before its session begins. */
export type Step =
  /** The header of the PROXY protocol is read. */
  | 'proxy'
  /** The TLS handshake, and the decision whom to let in. */
  | 'handshake'
  /** Names of user and group are looked up. */
  | 'identifying'

/** What each state may become. */
export const LEGAL: Record<ArrivalState, readonly ArrivalState[]> = {
  accepted: ['proxy', 'handshake', 'identifying', 'begun', 'closed'],
  proxy: ['handshake', 'begun', 'closed'],
  handshake: ['begun', 'closed'],
  identifying: ['begun', 'closed'],
  begun: [],
  closed: []
}

/** The steps of each transport, in their order. Those that the thread has nothing for are left out. */
export const STEPS: Record<TransportKind, readonly Step[]> = {
  unix: ['identifying'],
  tcp: ['proxy'],
  tls: ['proxy', 'handshake']
}
