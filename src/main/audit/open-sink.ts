import type { AuditPlace } from '../config/audit-place.js'
import { JOURNAL_SOCKET } from '../config/paths.js'
import { DatagramSink } from './datagram-sink.js'
import { FileSink } from './file-sink.js'
import { auditEntry } from './journal-entry.js'
import type { AuditSink } from './sink.js'

/** Rejects with StartupError. */
export async function openSink(place: AuditPlace): Promise<AuditSink> {
  switch (place.to) {
    case 'file':
      return FileSink.open(place.path)
    case 'journald':
      return new DatagramSink(JOURNAL_SOCKET, auditEntry)
    case 'unix':
      return new DatagramSink(place.path, line => Buffer.from(line))
  }
}
