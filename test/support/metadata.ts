import { REMOTE } from '#protocol/procedures.js'
import { XdrReader, XdrWriter } from '#protocol/xdr.js'

export const { domainSetMetadata: SET_METADATA, domainGetMetadata: GET_METADATA } = REMOTE

/** VIR_DOMAIN_METADATA_DESCRIPTION, VIR_DOMAIN_METADATA_TITLE */
const KINDS = [0, 1] as const

/** A number that is kept as the description, or the title, of a domain. */
export interface Register {
  readonly name: string
  readonly uuid: Buffer
  readonly id: number
  readonly kind: (typeof KINDS)[number]
}

/** Two for each of so many domains. */
export function registersOf(domains: readonly Omit<Register, 'kind'>[]): Register[] {
  return domains.flatMap(domain => KINDS.map(kind => ({ ...domain, kind })))
}

/** Domains that there are only at a daemon which knows no others. */
export const pretended = (count: number): Omit<Register, 'kind'>[] =>
  Array.from({ length: count }, (_, i) => ({ name: `domain ${i}`, uuid: Buffer.alloc(16, i + 1), id: i + 1 }))

/** The one of `test:///default`. */
export const TEST_DOMAIN = { name: 'test', uuid: Buffer.from('6695eb01f6a4830479aa97f2502e193f', 'hex'), id: 1 }

const put = ({ name, uuid, id, kind }: Register): XdrWriter => new XdrWriter().string(name).fixed(uuid).i32(id).i32(kind)

/** Arguments of DOMAIN_SET_METADATA. */
export const setArguments = (register: Register, value: number): Buffer =>
  put(register).bool(true).string(String(value)).bool(false).bool(false).u32(0).finish()

/** Arguments of DOMAIN_GET_METADATA. */
export const getArguments = (register: Register): Buffer => put(register).bool(false).u32(0).finish()

/** What the reply to DOMAIN_GET_METADATA brings. */
export const valueOf = (payload: Buffer): number => Number(new XdrReader(payload).string())

/** What a daemon knows of all domains that somebody has asked for, each of which holds 0 at first. */
export class Metadata {
  readonly #texts = new Map<string, string>()

  /** Carries a call out. Returns the arguments of its reply. */
  execute(proc: number, args: Buffer): Buffer {
    const xdr = new XdrReader(args)
    xdr.string()
    const key = `${xdr.uuid().toString('hex')} ${xdr.i32()} ${xdr.i32()}`
    if (proc === GET_METADATA) return new XdrWriter().string(this.#texts.get(key) ?? '0').finish()
    this.#texts.set(key, xdr.optional(text => text.string())!)
    return Buffer.alloc(0)
  }
}
