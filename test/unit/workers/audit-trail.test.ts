import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { readObject } from '#protocol/call-object.js'
import { PROGRAM } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { callLine, lostLine, MAX_LINE_BYTES, operationOf, sessionLine } from '#workers/observe/audit-record.js'
import { AuditTrail, MOST_UNCONFIRMED_BYTES } from '#workers/observe/audit-trail.js'
import type { Audited, AuditedCall } from '#workers/thread/audit.js'
import { AuditWindow, bytesOf } from '#workers/thread/audit-window.js'
import type { AuditRecord } from '../../support/audit-lines.js'

const product = { version: '9.9', run: '01J' }
const client: Audited = {
  id: 5, since: 1000, listener: { name: 'tls', transport: 'tls', readonly: false, auth: 'sasl' }, peer: '[fe80::1]:4711', via: undefined,
  identity: { saslUserName: 'fred', x509DistinguishedName: 'O=Red Hat,CN=fred', certificateSerial: '0a1b' }
}
const call: AuditedCall = {
  prog: PROGRAM.remote, proc: REMOTE.domainDestroy, serial: 7, named: [{ type: 'domain', name: 'guest', uid: 'u' }],
  end: 'error', code: 55, detail: undefined, time: 1234, micros: 4567, driver: 'qemu', readonly: false
}
const line = (from: AuditedCall, by = client): string => callLine(product, by, operationOf(from.prog, from.proc), from)
const other = (client: Audited, identity: Audited['identity'], peer?: string): Audited => ({ ...client, identity, peer })

describe('a record of the audit', () => {
  it('tells who did what to which object, and what came of it', () => {
    const { metadata, ...record } = JSON.parse(line(call)) as Record<string, unknown>
    expect(metadata).to.deep.include({ version: '1.6.0', correlation_uid: '01J-5' })
    expect(record).to.deep.equal({
      time: 1234, class_uid: 6003, category_uid: 6, activity_id: 3, type_uid: 600303, severity_id: 2,
      actor: { user: { name: 'fred' } }, src_endpoint: { ip: 'fe80::1', port: 4711 },
      api: { operation: 'DOMAIN_DESTROY', service: { name: 'qemu' } }, resources: [{ type: 'domain', name: 'guest', uid: 'u' }],
      status_id: 2, status_code: '55', duration: 5,
      unmapped: {
        listener: 'tls', sasl_user: 'fred', dn: 'O=Red Hat,CN=fred', certificate_serial: '0a1b', access: 'domain:stop',
        readonly: false, serial: 7, duration_us: 4567
      }
    })
  })

  it('has its keys in the order of the class', () => {
    expect(Object.keys(JSON.parse(line(call)) as object)).to.deep.equal([
      'time', 'class_uid', 'category_uid', 'activity_id', 'type_uid', 'severity_id', 'metadata', 'actor', 'src_endpoint', 'api',
      'resources', 'status_id', 'status_code', 'duration', 'unmapped'
    ])
  })

  it('has no result where there was none', () => {
    const record = JSON.parse(line({ ...call, end: 'none', code: 0, detail: 'gone' })) as object
    expect(record).to.include({ status_id: 0, status_detail: 'gone', severity_id: 1 }).and.not.to.have.property('status_code')
  })

  it('names procedures of other programs with their prefix, and what nobody knows by its number', () => {
    const operation = (prog: number, proc: number): unknown =>
      (JSON.parse(line({ ...call, prog, proc })) as { api: { operation: string } }).api.operation
    expect(operation(PROGRAM.qemu, 1)).to.equal('QEMU_DOMAIN_MONITOR_COMMAND')
    expect(operation(PROGRAM.remote, 4000)).to.equal('4000')
  })

  it('is text whatever bytes the client has in a name', () => {
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf0, 0x9f], [0xc0, 0x80]]) {
      const name = Buffer.from([...Buffer.from('guest'), ...bytes])
      const named = readObject('domain', Buffer.from(new XdrWriter().opaque(name).fixed(Buffer.alloc(16)).i32(-1).finish()))
      const record = line({ ...call, named })
      expect(Buffer.from(record).toString(), 'as UTF-8').to.equal(record)
      const [object] = (JSON.parse(record) as { resources: { name: string }[] }).resources
      expect(object!.name).to.match(/^guest\ufffd+$/)
    }
  })

  it('is one line that steers nobody\'s terminal, and never longer than it may be', () => {
    for (const nasty of ['\u0000', '\n', '"', '\u202e', '\u009b', '😀', '\ud800', 'é']) {
      const name = nasty.repeat(2000)
      const identity = { saslUserName: name, userName: name, x509DistinguishedName: name, certificateSerial: name }
      const named = [{ type: 'storage_vol', name, uid: name }, { type: 'storage_pool', name, uid: name }] as const
      const lines = [
        line({ ...call, named, detail: name, request: name }, other(client, identity)),
        sessionLine(product, other(client, identity), { activity: 'logoff', failed: false, why: name, time: 1 })
      ]
      for (const text of lines) {
        expect(Buffer.byteLength(text), JSON.stringify(nasty)).to.be.at.most(MAX_LINE_BYTES)
        expect(text).not.to.match(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/)
        expect(() => void JSON.parse(text)).not.to.throw()
      }
    }
  })

  it('is shown by its page as it is', () => {
    const everybody = other(client, { ...client.identity, processId: 1, userId: 1 })
    const made = [
      line({ ...call, detail: 'why', count: 2, request: 'a=1' }, everybody),
      sessionLine(product, everybody, { activity: 'logoff', failed: true, why: 'why', time: 1, duration: 1, count: 1 }),
      lostLine(product, 1, 1)
    ].map(text => JSON.parse(text) as AuditRecord)
    const page = readFileSync(new URL('../../../../docs/audit.md', import.meta.url), 'utf8')
    const shown = Array.from(page.matchAll(/```json\n([^]*?)```/g), ([, text]) => JSON.parse(text!) as AuditRecord)
    expect(shown.map(({ class_uid }) => class_uid)).to.include.members(made.map(({ class_uid }) => class_uid))
    for (const record of shown) {
      const keys = Object.keys(made.find(({ class_uid }) => class_uid === record.class_uid)!)
      expect(keys.filter(key => key in record)).to.deep.equal(Object.keys(record))
    }
  })

  it('tells of logins, of what was lost, and since when', () => {
    const login = JSON.parse(sessionLine(product, client, { activity: 'logon', failed: true, why: 'no', time: 3 })) as object
    expect(login).to.deep.include({
      class_uid: 3002, type_uid: 300201, status_id: 2, status_detail: 'no', auth_protocol: 'SASL', is_remote: true,
      certificate: { serial_number: '0a1b', subject: 'O=Red Hat,CN=fred' }
    })
    expect(JSON.parse(lostLine(product, 3, 77))).to.include({ class_uid: 6008, count: 3, start_time: 77 })
  })
})

describe('the trail of a thread', () => {
  function start(auditFailClosed = false): { trail: AuditTrail; window: AuditWindow; told: () => number } {
    const window = new AuditWindow()
    let told = 0
    const trail = new AuditTrail(window, product, () => ({ auditReads: false, auditFailClosed }), () => told++)
    return { trail, window, told: () => told }
  }

  it('says once that there is something, and gives it in its order', () => {
    const { trail, told } = start()
    for (const serial of [1, 2, 3]) trail.write(client, { ...call, serial }, false)
    expect(told()).to.equal(1)
    const serials = trail.take().map(line => (JSON.parse(line) as { unmapped: { serial: number } }).unmapped.serial)
    expect(serials).to.deep.equal([1, 2, 3])
    expect(trail.take()).to.deep.equal([])
    trail.write(client, call, false)
    expect(told()).to.equal(2)
  })

  it('keeps no more than its supervisor may owe it, and counts the rest', () => {
    const { trail, window } = start()
    for (let i = 0; i < 5000; i++) trail.write(client, call, false)
    const bytes = bytesOf(trail.take())
    expect(bytes).to.be.within(MOST_UNCONFIRMED_BYTES - MAX_LINE_BYTES, MOST_UNCONFIRMED_BYTES)
    const lost = window.takeDropped()
    expect(lost).to.be.above(1000)
    expect(window.takeDropped()).to.equal(0)
    trail.write(client, call, false)
    expect(window.takeDropped()).to.equal(1)
    window.confirm(bytes)
    trail.write(client, call, false)
    expect(trail.take()).to.have.length(1)
    expect(window.takeDropped()).to.equal(0)
  })

  it('takes calls that change something only if it can keep what it promises, where that is wanted', () => {
    const { trail, window } = start(true)
    expect(trail.takes(0)).to.equal(true)
    window.failing = true
    expect(trail.takes(0)).to.equal(false)
    window.failing = false
    let promised = 0
    for (; trail.takes(0); promised++) trail.promise()
    expect(promised).to.equal(4096)
    trail.write(client, call, true)
    expect(trail.takes(0), 'one is not promised any more').to.equal(true)
    for (; promised > 1; promised--) trail.write(client, call, true)
    expect(window.takeDropped(), 'what was promised is kept').to.equal(0)
    expect(trail.takes(0), 'there is no room').to.equal(false)
    trail.write(client, call, false)
    expect(window.takeDropped(), 'and nothing else').to.equal(1)
    const lines = trail.take()
    expect(lines).to.have.length(4096)
    window.confirm(bytesOf(lines))
    expect(trail.takes(0)).to.equal(true)
    const free = start(false)
    free.window.failing = true
    expect(free.trail.takes(0)).to.equal(true)
  })

  it('promises nobody more than is left for the others, however many clients want all that they can get', () => {
    const { trail } = start(true)
    const held = Array.from({ length: 100 }, () => 0)
    let some: boolean
    do {
      some = false
      for (const [i, promised] of held.entries()) {
        if (!trail.takes(promised)) continue
        trail.promise()
        held[i] = promised + 1
        some = true
      }
    } while (some)
    for (const promised of held) expect(promised).to.be.within(40, 41)
    let left = 0
    for (; left < 20 && trail.takes(left); left++) trail.promise()
    expect(left, 'of one that comes now').to.be.above(15)
  })
})
