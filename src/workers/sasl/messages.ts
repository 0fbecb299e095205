import type { MessagePort } from 'node:worker_threads'
import type { LogKind } from '../base/log-kinds.js'
import type { SaslConnection, SaslParameters } from './libsasl.js'
import type { Demands } from './offer.js'

/** What an actor thread asks of the SASL thread. `id` names a client's attempt; one question of it at a time. */
export type SaslQuestion =
  | { kind: 'begin'; id: number; parameters: SaslParameters }
  | { kind: 'start'; id: number; mechanism: string; data: Uint8Array | undefined }
  | { kind: 'step'; id: number; data: Uint8Array | undefined }

/** Nobody wants to know about the attempt any more, and nobody uses its connection. It is not answered. */
export interface SaslFarewell {
  kind: 'forget'
  id: number
}

export type ToSaslThread = SaslQuestion | SaslFarewell

export type SaslAnswer =
  | { id: number; failed: string }
  | { id: number; mechanisms: string }
  | { id: number; data: Uint8Array | undefined; success: SaslSuccess | undefined }

/** The exchange is complete. */
export interface SaslSuccess {
  userName: string
  /** Strength of the layer that both sides put on from here; 0 is none. */
  strength: number
  /** Bytes that the layer takes at once. */
  maxOutput: number
  /** For the layer: it may be used in the asking thread from now on, until the farewell. */
  connection: SaslConnection
}

/** What the supervisor says to the SASL thread: one more actor thread. */
export interface SaslIntroduction {
  port: MessagePort
}

/** What the SASL thread is started with: the kinds of connections that are to be offered mechanisms. */
export interface SaslListeners {
  listeners: readonly SaslListener[]
}

export interface SaslListener extends Demands {
  /** The keys of the configuration that want SASL for it. */
  keys: readonly string[]
}

/** What the log is told at the start. */
export interface SaslRemark {
  message: string
  kind: LogKind
}

/** The first thing that the SASL thread says. */
export type SaslReadiness = { ready: true; remarks: readonly SaslRemark[] } | { ready: false; why: string }
