/** What the bench tells a load process to do, and what comes back. Orders are carried out one after the other. */

/** A listening socket; `host` is numeric. */
export type Address = { host: string; port: number; tls?: TlsManner } | { path: string }

/** How a client speaks TLS. */
export interface TlsManner {
  /** Paths of its PEM files; without them it has no certificate. */
  own?: { certificate: string; key: string }
  /** The server says with a byte that it accepts the certificate, as libvirt's do. */
  confirmation: boolean
}

/** Where to connect, and the name for CONNECT_OPEN there. */
export interface Target {
  address: Address
  name: string
  /** The server is asked what login it wants, and that is done where it needs no secret. Else it is to want none. */
  login?: boolean
}

/** A call of the remote program; `body` is its encoded arguments. */
export interface Call {
  procedure: number
  body: Uint8Array
}

export type Order =
  /** Connects and opens `clients` more clients, `parallel` at a time, and keeps them. */
  | { do: 'open'; target: Target; clients: number; parallel: number }
  /** Every client (or the first `clients`) calls again as soon as it has its reply. */
  | { do: 'closed-loop'; call: Call; ms: number; clients?: number }
  /** Calls are due at a fixed rate, whether or not earlier ones were answered; latency counts from when due. */
  | { do: 'fixed-rate'; call: Call; ms: number; callsPerSecond: number }
  /** Connect, open, close, again and again; `parallel` at a time. */
  | { do: 'cycles'; target: Target; ms: number; parallel: number }
  /** Connects and resets the connection at once, again and again; nothing is ever sent. */
  | { do: 'resets'; target: Target; ms: number }
  /** One client calls `open` and takes the stream that follows, or sends `bytes` into it, and finishes it. */
  | { do: 'stream'; direction: 'download' | 'upload'; call: Call; bytes: number }
  /** One call by the first client, with its reply. */
  | { do: 'call'; call: Call }
  /** One call by every client, one after the other. */
  | { do: 'each'; call: Call }
  /** The first client calls, which causes an event for each: see telling.ts. At most `ms` are waited for. */
  | { do: 'tell'; call: Call; ms: number }
  /** Counts the events that come within `ms`. */
  | { do: 'watch'; ms: number }
  /** Every client writes these bytes, whatever they are, `times` times, and if `deaf` reads nothing from then on. */
  | { do: 'write'; bytes: Uint8Array; times: number; deaf: boolean }
  | { do: 'close' }

export interface Outcome {
  /** Calls answered, clients opened, cycles completed. */
  count: number
  /** Error replies, refused or lost connections. */
  failures: number
  /** Text of the first failure. */
  firstFailure: string | undefined
  /** Wall time in milliseconds. */
  ms: number
  /** Bytes received or, in an upload, sent. */
  bytes: number
  /** Distribution of latency, encoded (see Latencies). */
  latencies: string
  /** Frames other than replies that came: events. */
  events: number
  /** Body of the reply, of `call` only. */
  reply?: Uint8Array
}

export type Report = { done: Outcome } | { error: string }
