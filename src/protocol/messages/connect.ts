/** Bodies of the CONNECT procedures that the broker answers, or asks a driver daemon for. Decoders throw XdrError. */

import { XdrReader, XdrWriter } from '../xdr.js'
import { eventFrame } from './frames.js'
import { REMOTE } from '../procedures.js'

/** The only open flag that counts at a daemon; client libraries leak others. */
export const OPEN_READONLY = 1

/** `virDrvFeature`: what the broker knows of. Any other number is a driver's business. */
export const FEATURE = { fdPassing: 8, keepalive: 10, eventCallbacks: 14, closeCallback: 15 } as const

/** `virConnectCloseReason` */
export const CLOSE_REASON = { error: 0, endOfFile: 1, keepalive: 2, client: 3 } as const

export interface OpenArguments {
  /** Undefined when the client sent none. */
  name: string | undefined
  flags: number
}

export function encodeOpen({ name, flags }: OpenArguments): Buffer {
  return new XdrWriter().optional(name, (xdr, text) => void xdr.string(text)).u32(flags).finish()
}

export function decodeOpen(body: Buffer): OpenArguments {
  const xdr = new XdrReader(body)
  return { name: xdr.optional(x => x.string()), flags: xdr.u32() }
}

/** Arguments of CONNECT_SUPPORTS_FEATURE; its reply has the same shape, see encodeSupported. */
export function encodeFeature(feature: number): Buffer {
  return encodeNumber(feature)
}

export function decodeFeature(body: Buffer): number {
  return decodeNumber(body)
}

export function encodeSupported(supported: boolean): Buffer {
  return encodeNumber(supported ? 1 : 0)
}

export function decodeSupported(body: Buffer): boolean {
  return decodeNumber(body) !== 0
}

/** Replies that are one string: CONNECT_GET_URI, CONNECT_GET_TYPE, CONNECT_GET_HOSTNAME. */
export function encodeText(text: string): Buffer {
  return new XdrWriter(64).string(text).finish()
}

export function decodeText(body: Buffer): string {
  return new XdrReader(body).string()
}

/** The event that tells a client with a close callback that its driver daemon is gone. */
export function connectionClosedFrame(reason: number): Buffer {
  return eventFrame(REMOTE.connectEventConnectionClosed, encodeNumber(reason))
}

export function decodeCloseReason(body: Buffer): number {
  return decodeNumber(body)
}

function encodeNumber(value: number): Buffer {
  return new XdrWriter(4).i32(value).finish()
}

function decodeNumber(body: Buffer): number {
  return new XdrReader(body).i32()
}
