import type { Identity } from '../../protocol/identity.js'
import type { LogContext } from '../base/log.js'
import type { ListenerKind } from '../os/listener-kind.js'

/**
 * `arriving` until its session begins, `authenticating` until it has logged in, where it has to; `draining` while it gets
 * what it has asked for and may ask for nothing more; `closing` while the last replies are written.
 */
export const CLIENT_STATES = ['arriving', 'authenticating', 'serving', 'draining', 'closing'] as const
export type ClientState = (typeof CLIENT_STATES)[number]

/** Of a client that has proved nothing of itself: of them there can be thousands. */
export const NO_IDENTITY: Identity = Object.freeze({})

/** One client as everybody outside its session sees it. */
export interface ClientRecord {
  /** From 1, in the order of arrival; never used again while the process lives. */
  readonly id: number
  /** When it was accepted, in milliseconds since the epoch. */
  readonly since: number
  /** By which it came; that of a client whose TLS connection ends at a proxy is the kind that it counts as, once that is known. */
  listener: ListenerKind
  /** `address:port` of a client that came over the network; while a proxy has yet to tell it, the proxy's own. */
  peer: string | undefined
  /** `address:port` of the proxy that it came through, where proxies must say for whom they come (`proxy_protocol`). */
  readonly via: string | undefined
  /** What it has proved of itself so far. */
  identity: Identity
  state: ClientState
  /** What it has opened, as `openedName` shortens it; undefined if nothing. */
  opened: string | undefined
}

/** One client as its thread has it. */
export interface ServedRecord extends ClientRecord {
  /** By the name that it has opened, see DRIVERS. */
  driver: number
}

/** In characters: clients choose what they open. */
const MAX_OPENED_NAME = 256

/** What a client has opened, without the URI's query, and cut: thousands of clients are grouped by it. */
export const openedName = (uri: string): string => uri.slice(0, MAX_OPENED_NAME).replace(/[?#].*/s, '')

/** What a record of the log says of a client. */
export const logContextOf = (
  { id, listener, peer, identity }: Pick<ClientRecord, 'id' | 'listener' | 'peer' | 'identity'>
): LogContext => ({
  client: id,
  listener: listener.name,
  address: peer,
  uid: identity.userId,
  pid: identity.processId,
  dn: identity.x509DistinguishedName,
  sasl: identity.saslUserName
})

/** What the supervisor says of a connection that it hands to a thread. */
export type HandOver = Readonly<Pick<ClientRecord, 'id' | 'since' | 'listener' | 'peer' | 'via'>> & { readonly fd: number }

/** What only a client's thread knows of it. */
export interface ClientActivity {
  /** Socket of the driver daemon where its connection is, or was; undefined before it has opened anything. */
  readonly driver: string | undefined
  /** What it has opened, as CONNECT_GET_URI says it; empty if nothing. */
  readonly uri: string
  /** With its driver daemon, and not given to it yet. */
  readonly callsInFlight: number
  readonly callsWaiting: number
  readonly streams: number
  /** That have come from it, and that it was sent or is about to be. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** Since anything came from it. */
  readonly idleMs: number
  /** Of a TLS connection, in OpenSSL's names. */
  readonly tls: { readonly version: string; readonly cipher: string } | undefined
}
