/** Bodies of the five AUTH procedures. All decoders throw XdrError. */

import { XdrReader, XdrWriter } from '../xdr.js'

/** `remote_auth_type` */
export const AUTH = { none: 0, sasl: 1, polkit: 2 } as const
export type AuthType = (typeof AUTH)[keyof typeof AUTH]

/** `REMOTE_AUTH_TYPE_LIST_MAX`, `REMOTE_AUTH_SASL_DATA_MAX` */
const MAX_TYPES = 20
export const MAX_SASL_BYTES = 65_536

/** Reply of AUTH_LIST. Daemons send exactly one type. */
export function encodeAuthList(types: readonly number[]): Buffer {
  return new XdrWriter(8).array(types, (xdr, type) => void xdr.i32(type)).finish()
}

export function decodeAuthList(body: Buffer): number[] {
  return new XdrReader(body).array(MAX_TYPES, xdr => xdr.i32())
}

/** Reply of AUTH_SASL_INIT: names joined by commas. */
export function encodeSaslMechanisms(mechanisms: string): Buffer {
  return new XdrWriter().string(mechanisms).finish()
}

export function decodeSaslMechanisms(body: Buffer): string {
  return new XdrReader(body).string()
}

/** SASL needs the difference between no data (undefined) and empty data. */
export type SaslData = Buffer | undefined

export interface SaslStart {
  mechanism: string
  data: SaslData
}

export function encodeSaslStart({ mechanism, data }: SaslStart): Buffer {
  return writeSaslData(new XdrWriter().string(mechanism), data).finish()
}

export function decodeSaslStart(body: Buffer): SaslStart {
  const xdr = new XdrReader(body)
  return { mechanism: xdr.string(), data: readSaslData(xdr) }
}

/** Arguments of AUTH_SASL_STEP. */
export function encodeSaslStep(data: SaslData): Buffer {
  return writeSaslData(new XdrWriter(), data).finish()
}

export function decodeSaslStep(body: Buffer): SaslData {
  return readSaslData(new XdrReader(body))
}

/** Reply of AUTH_SASL_START and AUTH_SASL_STEP. */
export interface SaslReply {
  /** The client is authenticated; what follows on the connection may be wrapped. */
  complete: boolean
  data: SaslData
}

export function encodeSaslReply({ complete, data }: SaslReply): Buffer {
  return writeSaslData(new XdrWriter().i32(complete ? 1 : 0), data).finish()
}

export function decodeSaslReply(body: Buffer): SaslReply {
  const xdr = new XdrReader(body)
  return { complete: xdr.i32() !== 0, data: readSaslData(xdr) }
}

/** Reply of AUTH_POLKIT: a failure is an error reply, so this says "complete". */
export function encodePolkitReply(): Buffer {
  return new XdrWriter(4).i32(1).finish()
}

export function decodePolkitReply(body: Buffer): boolean {
  return new XdrReader(body).i32() !== 0
}

const EMPTY = Buffer.alloc(0)

/** Throws RangeError for data that no peer would decode. */
function writeSaslData(xdr: XdrWriter, data: SaslData): XdrWriter {
  if (data && data.length > MAX_SASL_BYTES) throw new RangeError(`${data.length} bytes of SASL data`)
  return xdr.i32(data ? 0 : 1).chars(data ?? EMPTY)
}

function readSaslData(xdr: XdrReader): SaslData {
  const absent = xdr.i32() !== 0
  const data = xdr.chars(MAX_SASL_BYTES)
  return absent ? undefined : data
}
