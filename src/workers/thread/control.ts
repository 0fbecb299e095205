import type { MessagePort } from 'node:worker_threads'
import type { Identity } from '../../protocol/identity.js'
import type { LogContext, LogSource } from '../base/log.js'
import type { LogKind } from '../base/log-kinds.js'
import type { DescriptorLimits } from '../os/descriptor-limits.js'
import type { ListenerKind } from '../os/listener-kind.js'
import type { AuditTask } from './audit.js'
import type { ClientActivity, ClientRecord, ClientState, HandOver } from './client-record.js'
import type { BusyReport } from './busy-report.js'
import type { ConnectionPage } from './driver-report.js'
import type { SlowCall } from './slow-call.js'
import type { ActorSettings } from './settings.js'
import type { TraceAnswer } from './trace-report.js'

/** The task that makes a thread of the pool an actor thread. It ends when the thread is told to shut down. */
export interface ActorTask {
  /** The thread's number, from 1: its owner number in the ledger of descriptors. */
  number: number
  settings: ActorSettings
  ledger: SharedArrayBuffer
  limits: DescriptorLimits
  /** See LastHeard. */
  lastHeard: SharedArrayBuffer
  /** See Counters. */
  counters: SharedArrayBuffer
  /** Whether calls are counted. */
  metering: boolean
  /** Path of a module that the thread loads before it serves. */
  module: string | undefined
  audit: AuditTask
  /** See Pulse. */
  pulse: SharedArrayBuffer
  /** See Figures. */
  figures: SharedArrayBuffer
  /** Where connections come in and news goes out: plain messages, because there are thousands a second. */
  work: MessagePort
  /** Where names of users and groups are asked for. */
  names: MessagePort
  /** To the SASL thread, if there is one. */
  sasl: MessagePort | undefined
  /** The supervisor's `DaemonStarter`, by comlink, if the broker is an ordinary user's. */
  daemons: MessagePort | undefined
  /** The thread's `ActorControl`, by comlink. */
  control: MessagePort
}

/** Posted to the actor: connections to take over, and clients that are to make room, by id, if they are not in yet. */
export interface ToActor {
  handOvers: HandOver[]
  evictions: number[]
}

/** What of a client's record may change. */
export type ClientChange = Pick<ClientRecord, 'id' | 'state' | 'identity' | 'opened'>

/** Posted by the actor, several at once. */
export type FromActor = readonly (ActorNews | LoadNews | AuditNews)[]
export type ActorNews =
  /** Told once a client is no longer arriving, and whenever anything of this changes. */
  | ({ kind: 'client' } & ClientChange)
  /** Its proxy has told where it is: `address:port`. */
  | { kind: 'peer'; id: number; peer: string }
  /** Its TLS connection ends at the proxy: as what it counts from now on. */
  | { kind: 'listener'; id: number; listener: ListenerKind }
  /** `state`, `opened`: the last that it had come to, of which nothing may have been told. */
  | { kind: 'ended'; id: number; why: string; of: LogKind; state: ClientState; opened: string | undefined }
  /** With an audit: a login has failed. */
  | { kind: 'refused'; id: number; why: string; identity: Identity }
  /** It was to make room, and is in. */
  | { kind: 'kept'; id: number }
  | { kind: 'slow'; call: SlowCall }
  | { kind: 'log'; of: LogKind; source: LogSource; message: string; about: LogContext | undefined }

/** The thread has become busy, or is no longer. */
export interface LoadNews {
  kind: 'busy'
  busy: boolean
}

/** Records of the audit, each a line. */
export interface AuditNews {
  kind: 'audit'
  lines: readonly string[]
}

/** What an actor thread may ask of the supervisor. */
export interface DaemonStarter {
  /**
   * Starts the first of these driver daemons that is installed, unless somebody starts it already. Resolves when it
   * listens; rejects with the reason if it does not within so many milliseconds, or none is installed.
   */
  start(daemons: readonly string[], patienceMs: number): Promise<void>
}

/** What the supervisor may ask of an actor thread. */
export interface ActorControl {
  /** Answers as soon as the thread serves. */
  ready(): void
  /** What a client is doing; undefined if it is not here, or its session has not begun. */
  activity(id: number): ClientActivity | undefined
  /** Its connections to driver daemons that are in use, after the one with that number. */
  connections(after: number): ConnectionPage
  /** See BusyClients. */
  busiest(): BusyReport
  /** What all whose sessions have begun are doing, see packFigures. */
  clientFigures(): Float64Array
  /** See Traces. */
  trace(id: number, by: number): TraceAnswer | undefined
  /** Closes a client at once. False if it is not here. */
  disconnect(id: number): boolean
  /** Goes on with these settings; throws, and has changed nothing, if they cannot be used. */
  apply(settings: ActorSettings): void
  /** The SASL thread was replaced; this leads to the new one. */
  useSasl(port: MessagePort): void
  /**
   * Closes who is not in, and all others as soon as what they have asked for is done, or after `ms` milliseconds. Who comes
   * is closed, until `resume`.
   */
  drain(ms: number): void
  /** Serves who comes. Those who are being drained go on to their end. */
  resume(): void
  /** Closes all clients and ends the thread's task. */
  shutdown(): void
}
