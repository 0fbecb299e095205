import { expect } from 'chai'
import fc from 'fast-check'
import { journalEntry } from '#main/log/journal.js'
import { lineOf } from '#main/log/lines.js'
import type { LogRecord } from '#main/log/record.js'
import { SOURCE } from '#workers/base/log.js'
import { MESSAGE_KINDS } from '#workers/base/log-kinds.js'

const time = Date.UTC(2026, 10, 22, 11, 15, 1, 650)
const record = (over: Partial<LogRecord> = {}): LogRecord => ({
  level: 'warning', kind: 'client-stalled', source: SOURCE.client, message: 'closed', about: {}, time, ...over
})

const whole = (text: string): string => text.replace(/\p{Surrogate}/gu, '\ufffd')
const HOSTILE: Record<string, string> = {
  'a line feed': 'a\n{"time":"2026-01-01T00:00:00.000Z","level":"error","message":"forged"}',
  NUL: 'a\0b',
  'bytes that are no UTF-8': Buffer.from([0x43, 0x4e, 0x3d, 0xff, 0xfe, 0xc3]).toString(),
  'half a pair': 'a\ud800b',
  'quotes and fields': '","kind":"start-failed","x":"\\',
  'commands to terminals, and lines of Unicode': '\x1b[2J\x9b2J\u2028\u2029\x7f',
  'the name of a field of the journal': 'x\nMESSAGE_ID=0123456789abcdef0123456789abcdef\nPRIORITY=0',
  '10 kB': 'x'.repeat(10_000),
  '10 kB of control characters': '\x01'.repeat(10_000)
}
/** More characters than fit are cut. */
const cut = (text: string, most: number): string => (text.length <= most ? whole(text) : `${text.slice(0, most)} (cut)`)

/** As journald reads it: systemd's documentation, Native Journal Protocol. */
function readEntry(bytes: Buffer): Record<string, string> {
  const fields: Record<string, string> = {}
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf('\n', at)
    const line = bytes.toString('utf8', at, end)
    const equals = line.indexOf('=')
    at = end + 1
    if (equals >= 0) fields[line.slice(0, equals)] = line.slice(equals + 1)
    else {
      const size = Number(bytes.readBigUInt64LE(at))
      fields[line] = bytes.toString('utf8', at + 8, at + 8 + size)
      at += 8 + size + 1
    }
  }
  return fields
}

const about = { client: 7, listener: 'tls', address: '[2001:db8::7]:50122', dn: 'C=GB,CN=seven', driver: '/run/libvirt/virtqemud-sock' }

describe('a line in JSON', () => {
  const parse = (one: LogRecord): unknown => JSON.parse(lineOf.json(one))

  it('has what is known of the message in fields of its own', () => {
    expect(parse(record({ about, repeated: 3 }))).to.deep.equal({
      time: '2026-11-22T11:15:01.650Z', level: 'warning', source: 'rpc.netserverclient', kind: 'client-stalled', message: 'closed',
      ...about, repeated: 3
    })
    const local = { client: 8, listener: 'main', address: undefined, uid: 1000, pid: 4711, sasl: 'fred' }
    expect(parse(record({ level: 'info', kind: undefined, source: '', about: local }))).to.deep.equal({
      time: '2026-11-22T11:15:01.650Z', level: 'info', message: 'closed', client: 8, listener: 'main', uid: 1000, pid: 4711, sasl: 'fred'
    })
  })

  for (const [what, name] of Object.entries(HOSTILE)) {
    it(`is one line with the same fields, whatever peers call themselves: ${what}`, () => {
      const line = lineOf.json(record({ message: name, about: { client: 1, dn: name, sasl: name } }))
      expect(line).not.to.match(/[\0-\x1f\x7f-\x9f\u2028\u2029\p{Surrogate}]/u)
      expect(line.length).to.be.lessThan(48 * 1024)
      expect(JSON.parse(line)).to.deep.equal({
        time: '2026-11-22T11:15:01.650Z', level: 'warning', source: 'rpc.netserverclient', kind: 'client-stalled',
        message: cut(name, 4096), client: 1, dn: cut(name, 1024), sasl: cut(name, 1024)
      })
    })
  }

  it('gives back any text', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 1000 }), text => {
      const line = lineOf.json(record({ message: text, about: { dn: text } }))
      expect(line).not.to.include('\n')
      expect(JSON.parse(line)).to.include({ message: text, dn: text })
    }))
  })
})

describe('an entry of the journal', () => {
  it('has what is known of the message in fields of its own', () => {
    expect(readEntry(journalEntry(record({ about, repeated: 3 })))).to.deep.equal({
      MESSAGE: 'client 7 at [2001:db8::7]:50122: closed (driver daemon /run/libvirt/virtqemud-sock)',
      MESSAGE_ID: MESSAGE_KINDS['client-stalled'].id, VIRTBROKER_KIND: 'client-stalled', PRIORITY: '4', SYSLOG_FACILITY: '3',
      SYSLOG_IDENTIFIER: 'virtbrokerd', LIBVIRT_SOURCE: 'rpc.netserverclient', VIRTBROKER_CLIENT: '7', VIRTBROKER_LISTENER: 'tls',
      VIRTBROKER_ADDRESS: '[2001:db8::7]:50122', VIRTBROKER_DN: 'C=GB,CN=seven', VIRTBROKER_DRIVER: '/run/libvirt/virtqemud-sock',
      VIRTBROKER_REPEATED: '3'
    })
  })

  for (const [what, name] of Object.entries(HOSTILE)) {
    it(`has the same fields whatever peers call themselves, and fits a datagram: ${what}`, () => {
      const bytes = journalEntry(record({ message: name, about: { client: 1, dn: name, sasl: name } }))
      expect(bytes.length).to.be.lessThan(48 * 1024)
      const { MESSAGE, VIRTBROKER_DN, VIRTBROKER_SASL, ...others } = readEntry(bytes)
      expect(MESSAGE).to.match(/^client 1: /).and.not.match(/[\0-\x08\x0b-\x1f\x7f-\x9f]/)
      expect([VIRTBROKER_DN, VIRTBROKER_SASL]).to.deep.equal([cut(name, 1024), cut(name, 1024)])
      expect(others).to.deep.equal({
        MESSAGE_ID: MESSAGE_KINDS['client-stalled'].id, VIRTBROKER_KIND: 'client-stalled', PRIORITY: '4', SYSLOG_FACILITY: '3',
        SYSLOG_IDENTIFIER: 'virtbrokerd', LIBVIRT_SOURCE: 'rpc.netserverclient', VIRTBROKER_CLIENT: '1'
      })
    })
  }
})
