import { expect } from 'chai'
import { CODE, encodeError, rpcError } from '#protocol/errors.js'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import type { Clock } from '#workers/base/clock.js'
import type { Audited, AuditedCall, ThreadAudit } from '#workers/thread/audit.js'
import { frame } from '../support/frame-socket.js'
import { MemorySession, settle, suiteClock } from '../support/memory-session.js'

const { domainDestroy: DESTROY, domainDefineXml: DEFINE, domainGetInfo: INFO, domainGetXmlDesc: XML } = REMOTE
const uuid = Buffer.alloc(16, 0xab)
const UUID = 'abababab-abab-abab-abab-abababababab'
const guest = (name = 'guest', ...words: number[]): Buffer => {
  const xdr = new XdrWriter().string(name).fixed(uuid).i32(-1)
  for (const word of words) xdr.u32(word)
  return Buffer.from(xdr.finish())
}
const text = (value: string): Buffer => Buffer.from(new XdrWriter().string(value).finish())

/** Keeps what it is told. */
class Listener implements ThreadAudit {
  readonly told: (Pick<AuditedCall, 'proc' | 'serial' | 'end' | 'code'> & { object: string | undefined; uid: string | undefined })[] = []
  readonly calls: AuditedCall[] = []
  promised = 0
  lets = true
  /** How many of the client's were promised when it was asked last. */
  asked = -1

  constructor(readonly reads = false) {}

  takes(promised: number): boolean {
    this.asked = promised
    return this.lets
  }

  promise(): void {
    this.promised++
  }

  write(client: Audited, call: AuditedCall, promised: boolean): void {
    expect(client.id).to.equal(1)
    if (promised) this.promised--
    const { proc, serial, end, code, named: [first] } = call
    this.calls.push(call)
    this.told.push({ proc, serial, end, code, object: first?.name, uid: first?.uid })
  }
}

describe('the audit of a session', () => {
  let clock: Clock
  suiteClock(made => (clock = made))

  for (const kind of ['own', 'shared'] as const) {
    describe(`on ${kind === 'own' ? 'a connection of its own' : 'a shared connection'}`, () => {
      async function start(options: { reads?: boolean; readonly?: boolean } = {}): Promise<{ trial: MemorySession; audit: Listener }> {
        const audit = new Listener(options.reads)
        const trial = new MemorySession(clock, kind, { audit, readonly: options.readonly ?? false })
        await trial.open()
        expect(audit.told).to.deep.equal([
          { proc: REMOTE.connectOpen, serial: 1, end: 'ok', code: 0, object: trial.session.uri, uid: undefined }
        ])
        audit.told.length = audit.calls.length = 0
        return { trial, audit }
      }
      const reply = (trial: MemorySession, body?: Buffer, header?: { status: number }): void =>
        void trial.port.reply(trial.port.take()[0]!, body, header)

      for (const pieces of [Infinity, 5]) {
        it(`has a record of a call with its object and its result, also if it came in pieces of ${pieces}`, async () => {
          const { trial, audit } = await start()
          const first = trial.call(DESTROY, guest(), pieces)
          expect(audit.told, 'not before it is answered').to.deep.equal([])
          reply(trial)
          const second = trial.call(DESTROY, guest('other'), pieces)
          reply(trial, encodeError(rpcError('no')), { status: STATUS.error })
          expect(audit.told).to.deep.equal([
            { proc: DESTROY, serial: first, end: 'ok', code: 0, object: 'guest', uid: UUID },
            { proc: DESTROY, serial: second, end: 'error', code: CODE.rpc, object: 'other', uid: UUID }
          ])
          expect(trial.take().map(({ serial }) => serial)).to.deep.equal([first, second])
          expect(trial.failures).to.deep.equal([])
        })
      }

      it('has the object of a call that creates it from the reply', async () => {
        const { trial, audit } = await start()
        const serial = trial.call(DEFINE, text('<domain/>'))
        reply(trial, guest('new'))
        const failed = trial.call(DEFINE, text('<domain/>'))
        reply(trial, encodeError(rpcError('no')), { status: STATUS.error })
        expect(audit.told).to.deep.equal([
          { proc: DEFINE, serial, end: 'ok', code: 0, object: 'new', uid: UUID },
          { proc: DEFINE, serial: failed, end: 'error', code: CODE.rpc, object: undefined, uid: undefined }
        ])
        expect(trial.take()[0]!.payload, 'and the client has it too').to.deep.equal(guest('new'))
      })

      it('has none of calls that only read, unless that is wanted, but for those that ask for passwords', async () => {
        const { trial, audit } = await start()
        for (const [proc, args] of [[INFO, guest()], [XML, guest('guest', 0)], [XML, guest('guest', 1)]] as const) {
          trial.call(proc, args)
          reply(trial, text('<domain/>'))
        }
        expect(audit.told.map(({ proc, object }) => [proc, object])).to.deep.equal([[XML, 'guest']])
        const all = await start({ reads: true })
        all.trial.call(INFO, guest())
        reply(all.trial)
        expect(all.audit.told.map(({ proc, object }) => [proc, object])).to.deep.equal([[INFO, 'guest']])
      })

      it('has one of each that is refused because the connection is read-only', async () => {
        const { trial, audit } = await start({ readonly: true })
        const serial = trial.call(DESTROY, guest())
        expect(audit.told).to.deep.equal([
          { proc: DESTROY, serial, end: 'refused', code: CODE.operationDenied, object: 'guest', uid: UUID }
        ])
        expect(trial.take()[0]!.status).to.equal(STATUS.error)
      })

      it('has few of those that are refused, and one that tells of the rest, so that they fill no disk', async () => {
        const { trial, audit } = await start({ readonly: true })
        for (let i = 0; i < 62; i++) trial.call(DESTROY, guest(`${i}`))
        expect(audit.told).to.have.length(60)
        trial.session.close('gone', 'debug')
        expect(audit.told).to.have.length(61)
        expect(audit.told.at(-1)).to.include({ end: 'refused', object: '61' })
        expect(audit.calls.at(-1)).to.include({ count: 2 }).and.have.property('detail').that.contains('the last of 2')
      })

      it('has one without a result of each that the driver daemon does not answer, and of those that it was not given', async () => {
        const { trial, audit } = await start()
        for (let i = 0; i < 5; i++) trial.call(DESTROY, guest())
        expect(audit.promised).to.equal(5)
        trial.port.lose()
        expect(audit.told.map(({ end }) => end)).to.deep.equal(['none', 'none', 'none', 'none', 'refused'])
        expect(audit.promised).to.equal(0)
      })

      it('has one without a result of each that its client does not wait for', async () => {
        const { trial, audit } = await start()
        for (let i = 0; i < 5; i++) trial.call(DESTROY, guest())
        trial.session.close('gone', 'debug')
        expect(audit.told.map(({ end, object }) => [end, object])).to.deep.equal(Array.from({ length: 5 }, () => ['none', 'guest']))
        expect(audit.promised).to.equal(0)
      })

      it('promises records of what changes something, and of nothing else', async () => {
        const { trial, audit } = await start({ reads: true })
        for (const [proc, args] of [[INFO, guest()], [XML, guest('guest', 1)], [XML, guest('guest', 0)]] as const) trial.call(proc, args)
        expect(audit.promised).to.equal(0)
        for (const call of trial.port.take()) trial.port.reply(call)
        expect(audit.told).to.have.length(3)
        trial.call(DESTROY, guest())
        trial.call(DESTROY, guest())
        expect([audit.promised, audit.asked]).to.deep.equal([2, 1])
        for (const call of trial.port.take()) trial.port.reply(call)
        trial.call(DESTROY, guest())
        expect([audit.promised, audit.asked]).to.deep.equal([1, 0])
      })

      describe('where a serial is used twice at a time', () => {
        const send = (trial: MemorySession, proc: number, args: Buffer, serial = 77): void =>
          trial.transport.receive(frame({ prog: PROGRAM.remote, proc, serial }, args))

        it('has no result of a call that was another\'s, though there is no record of that one', async () => {
          const { trial, audit } = await start()
          send(trial, XML, guest('missing', 0))
          send(trial, XML, guest('guest', 1))
          const out = trial.port.take()
          expect(out).to.have.length(1)
          expect(trial.take()[0]).to.include({ serial: 77, status: STATUS.error })
          const refused = { proc: XML, serial: 77, end: 'refused', code: CODE.rpc, object: 'guest', uid: UUID } as const
          expect(audit.told).to.deep.equal([refused])
          trial.port.reply(out[0]!, encodeError(rpcError('no such guest')), { status: STATUS.error })
          expect(audit.told).to.deep.equal([refused])
          send(trial, XML, guest('guest', 1))
          reply(trial, text('<domain/>'))
          expect(audit.told[1]).to.deep.equal({ ...refused, end: 'ok', code: 0 })
          expect(trial.take().map(({ status }) => status)).to.deep.equal([STATUS.error, STATUS.ok])
        })

        it('has the result of each, wherever the first is', async () => {
          const { trial, audit } = await start()
          send(trial, DESTROY, guest('out'))
          for (let i = 0; i < 3; i++) trial.call(DESTROY, guest())
          send(trial, DESTROY, guest('waits'), 78)
          const out = trial.port.take()
          expect(out.map(({ serial }) => serial), 'one waits').to.have.length(4)
          for (const serial of [77, 78]) send(trial, DESTROY, guest('again'), serial)
          expect(trial.take().map(({ serial, status }) => [serial, status])).to.deep.equal([[77, STATUS.error], [78, STATUS.error]])
          for (const call of out) trial.port.reply(call)
          reply(trial, encodeError(rpcError('no')), { status: STATUS.error })
          const told = audit.told.filter(({ object }) => object !== 'guest').map(({ object, end }) => [object, end])
          expect(told).to.deep.equal([['again', 'refused'], ['again', 'refused'], ['out', 'ok'], ['waits', 'error']])
          expect(audit.promised).to.equal(0)
        })

        it('passes on what is never recorded', async () => {
          const { trial } = await start()
          for (let i = 0; i < 2; i++) send(trial, INFO, guest())
          expect(trial.port.take()).to.have.length(2)
        })
      })

      it('has one of what nobody knows, and of what is as long as it may be', async () => {
        const { trial, audit } = await start()
        const unknown = trial.call(4000, guest())
        reply(trial)
        const long = trial.call(REMOTE.domainAttachDevice, Buffer.concat([guest(), text('x'.repeat(4_194_304))]), 1_000_000)
        reply(trial)
        const told = audit.told.map(({ serial, end, object }) => [serial, end, object])
        expect(told).to.deep.equal([[unknown, 'ok', undefined], [long, 'ok', 'guest']])
        expect(trial.failures).to.deep.equal([])
      })

      it('lets no call through whose arguments are too long for it to say what it was about', async () => {
        const { trial, audit } = await start()
        for (const proc of [DESTROY, REMOTE.domainAttachDevice, 4000]) {
          const serial = trial.call(proc, guest('x'.repeat(4_350_000)), 1_000_000)
          expect(trial.port.take()).to.deep.equal([])
          expect(trial.take()[0]).to.include({ serial, status: STATUS.error })
          expect(audit.told.pop()).to.include({ serial, end: 'refused', code: CODE.rpc })
        }
        expect(trial.failures).to.deep.equal([])
      })

      it('knows the object of a call wherever it is cut, its header included', async () => {
        for (let cut = 1; cut < 56; cut++) {
          const { trial, audit } = await start()
          trial.callInTwo(DESTROY, guest(`${cut}`), cut)
          reply(trial)
          trial.callInTwo(DEFINE, text('<domain/>'), cut)
          reply(trial, guest(`new ${cut}`))
          expect(audit.told.map(({ object }) => object)).to.deep.equal([`${cut}`, `new ${cut}`])
          expect(trial.failures).to.deep.equal([])
        }
      })

      it('refuses what changes something while it cannot be recorded, and says so with error 38', async () => {
        const { trial, audit } = await start()
        audit.lets = false
        const serial = trial.call(DESTROY, guest())
        const [refused] = trial.take()
        expect(refused).to.include({ serial, status: STATUS.error })
        expect(refused!.payload.readInt32BE(0)).to.equal(CODE.systemError)
        expect(refused!.payload.toString()).to.contain('records of the audit cannot be written')
        expect(audit.told).to.deep.equal([{ proc: DESTROY, serial, end: 'refused', code: CODE.systemError, object: 'guest', uid: UUID }])
        trial.call(INFO, guest())
        trial.call(XML, guest('guest', 1))
        for (const call of trial.port.take()) trial.port.reply(call)
        expect(trial.take().map(({ status }) => status)).to.deep.equal([STATUS.ok, STATUS.ok])
        audit.lets = true
        trial.call(DESTROY, guest())
        reply(trial)
        expect(trial.take()[0]!.status).to.equal(STATUS.ok)
      })
    })
  }

  it('has one of what a client calls that has nothing open, and of an open that fails', async () => {
    const audit = new Listener()
    const trial = new MemorySession(clock, 'own', { audit })
    trial.call(DESTROY, guest())
    trial.call(INFO, guest())
    expect(audit.told).to.deep.equal([
      { proc: DESTROY, serial: 1, end: 'refused', code: CODE.internalError, object: 'guest', uid: UUID }
    ])
    expect(audit.calls[0]).to.include({ driver: 'none', readonly: false })
    trial.connectOpen()
    trial.drivers.last.fail(rpcError('nobody there'))
    await settle()
    expect(audit.told[1]).to.deep.equal(
      { proc: REMOTE.connectOpen, serial: 3, end: 'error', code: CODE.rpc, object: 'test:///memory', uid: undefined }
    )
  })

  it('tells once of what a client calls before it has logged in', () => {
    const audit = new Listener()
    const trial = new MemorySession(clock, 'own', { audit, auth: 'sasl' })
    for (let i = 0; i < 10; i++) trial.call(DESTROY, guest())
    expect(audit.told).to.deep.equal([])
    expect(trial.refusedLogins).to.deep.equal(['DOMAIN_DESTROY: authentication required'])
  })
})
