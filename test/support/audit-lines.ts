import { readFile } from 'node:fs/promises'
import { XdrWriter } from '#protocol/xdr.js'
import { waitFor } from './waiting.js'

/** A record of the audit, as far as tests look at it. */
export interface AuditRecord {
  readonly time: number
  readonly class_uid: number
  readonly activity_id: number
  readonly status_id: number
  readonly status_code?: string
  readonly status_detail?: string
  readonly count?: number
  readonly metadata: { readonly uid: string; readonly correlation_uid: string }
  readonly actor?: { readonly user?: { readonly name?: string; readonly uid?: string }; readonly process?: { readonly pid: number } }
  readonly user?: { readonly name?: string; readonly uid?: string }
  readonly src_endpoint: { readonly ip?: string; readonly name?: string }
  readonly auth_protocol?: string
  readonly certificate?: { readonly serial_number: string; readonly subject: string }
  readonly api?: { readonly operation: string; readonly service: { readonly name: string } }
  readonly resources?: readonly { readonly type: string; readonly name?: string; readonly uid?: string }[]
  readonly unmapped: {
    readonly dn?: string
    readonly listener?: string
    readonly readonly?: boolean
    readonly refused?: boolean
    readonly request?: string
  }
}

/** The file of an audit. */
export class AuditLines {
  /** `cut`: it has been, so that its first line may be the rest of one. */
  constructor(readonly path: string, readonly options: { cut?: boolean } = {}) {}

  /** All that has been written, whole lines only. */
  async all(): Promise<AuditRecord[]> {
    const text = await readFile(this.path, 'utf8').catch(() => '')
    const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n').slice(0, -1)
    if (this.options.cut && lines.length > 0 && isRest(lines[0]!)) lines.shift()
    return lines.map(line => JSON.parse(line) as AuditRecord)
  }

  /** Those that fit, as soon as there are so many. */
  async until(what: string, fits: (record: AuditRecord) => boolean, count = 1): Promise<AuditRecord[]> {
    return waitFor(what, async () => {
      const found = (await this.all()).filter(fits)
      return found.length >= count && found
    })
  }
}

/** Whether this is the end of a record: it may begin with any of the record's braces, and closes one more than it opens. */
function isRest(line: string): boolean {
  try {
    JSON.parse(line)
    return false
  } catch {
    return true
  }
}

/** Arguments of a call that is about a domain, and says no more. */
export const guestArguments = (name = 'guest'): Buffer =>
  Buffer.from(new XdrWriter().string(name).fixed(Buffer.alloc(16, 7)).i32(1).finish())

export const LOGON = 1
export const LOGOFF = 2

/** `login`, `end` or the operation; then what it was done to, and what came of it. */
export function deed(record: AuditRecord): string {
  const { class_uid: kind, activity_id: activity, api, resources, status_id: status, status_code: code } = record
  const what = kind === 3002 ? (activity === LOGON ? 'login' : 'end') : (api?.operation ?? 'lost')
  const objects = (resources ?? []).map(({ name, uid }) => name ?? uid).join(' in ')
  const result = status === 1 ? 'done' : status === 2 ? `failed${code === undefined ? '' : ` ${code}`}` : 'unknown'
  return [what, ...(objects === '' ? [] : [objects]), result].join(' ')
}
