import type { AuditProduct } from '../../workers/thread/audit.js'
import type { AuditWindow } from '../../workers/thread/audit-window.js'
import type { Counters } from '../../workers/thread/counters.js'
import { AUDIT_SINKS } from '../../workers/thread/metric-families.js'
import type { AuditPlace } from '../config/audit-place.js'
import { AdminRecords } from './admin-records.js'
import { AuditLog, type AuditLogger } from './audit-log.js'
import { openSink } from './open-sink.js'
import { SessionRecords } from './session-records.js'

/** Where records go, and who makes those of clients and of administrators. */
export interface Audit {
  readonly log: AuditLog
  readonly sessions: SessionRecords
  readonly admin: AdminRecords
}

/** An audit that is made when it is used. */
export interface OpenedAudit {
  begin(product: AuditProduct, windows: ReadonlySet<AuditWindow>, logger: AuditLogger, counters: Counters): Audit
  close(): void
}

/** Rejects with StartupError if the place cannot be opened. */
export async function openAudit(place: AuditPlace): Promise<OpenedAudit> {
  const sink = await openSink(place)
  const kind = AUDIT_SINKS.indexOf(place.to)
  return {
    begin: (product, windows, logger, counters) => made(new AuditLog(sink, kind, product, windows, logger, counters)),
    close: () => void sink.close()
  }
}

function made(log: AuditLog): Audit {
  const { product } = log
  const write = (line: string): void => log.write(line)
  return { log, sessions: new SessionRecords(product, write), admin: new AdminRecords(product, write) }
}
