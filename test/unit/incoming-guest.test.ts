import { expect } from 'chai'
import { incomingGuest } from '#protocol/incoming-guest.js'
import { PROGRAM } from '#protocol/header.js'
import { proceduresOf, REMOTE } from '#protocol/procedures.js'
import { stringParam, writeParams } from '#protocol/typed-params.js'
import { XdrWriter } from '#protocol/xdr.js'

const UUID = '6695eb01-f6a4-8304-79aa-97f2502e193f'
const XML = `<domain type='qemu'>\n  <name>guest</name>\n  <uuid>${UUID}</uuid>${' '.repeat(10_000)}</domain>`
const cookie = (): XdrWriter => new XdrWriter().u32(5).fixed(Buffer.from('12345'))
const uri = (xdr = new XdrWriter()): XdrWriter => xdr.u32(1).string('tcp://here')
const rest = (name: string | undefined, xdr = new XdrWriter()): XdrWriter =>
  xdr.u64(1n).optional(name, (each, value) => void each.string(value)).u64(0n)
const params = (name: string | undefined): XdrWriter => {
  const named = name === undefined ? [] : [stringParam('destination_name', name)]
  return writeParams(new XdrWriter(), [...named, stringParam('destination_xml', XML)])
}

const CALLS: readonly (readonly [proc: number, args: (name: string | undefined) => XdrWriter])[] = [
  [REMOTE.domainMigratePrepare2, name => rest(name, uri()).string(XML)],
  [REMOTE.domainMigratePrepareTunnel, name => rest(name).string(XML)],
  [REMOTE.domainMigratePrepare3, name => rest(name, uri(cookie())).string(XML)],
  [REMOTE.domainMigratePrepareTunnel3, name => rest(name, cookie()).string(XML)],
  [REMOTE.domainMigratePrepare3Params, params],
  [REMOTE.domainMigratePrepareTunnel3Params, params]
]

describe('the guest whose migration is prepared', () => {
  const read = (proc: number, args: XdrWriter): unknown => incomingGuest(PROGRAM.remote, proc, Buffer.from(args.finish()))

  for (const [proc, args] of CALLS) {
    it(`goes by the name that it is to have, else by that of its description: procedure ${proc}`, () => {
      expect(read(proc, args(undefined))).to.deep.equal([{ type: 'domain', name: 'guest', uid: UUID }])
      expect(read(proc, args('other'))).to.deep.equal([{ type: 'domain', name: 'other', uid: UUID }])
      const whole = Buffer.from(args('other').finish())
      for (let end = 0; end < 60; end++) expect(incomingGuest(PROGRAM.remote, proc, whole.subarray(0, end)).length).to.be.below(2)
    })
  }

  it('is known by its new name alone where no description comes along', () => {
    expect(read(REMOTE.domainMigratePrepare, rest('other', uri()))).to.deep.equal([{ type: 'domain', name: 'other', uid: undefined }])
    expect(read(REMOTE.domainMigratePrepare, rest(undefined, uri()))).to.deep.equal([])
  })

  describe('is named by its description', () => {
    const described = (xml: string): unknown => {
      const [guest] = read(REMOTE.domainMigratePrepareTunnel, rest(undefined).string(xml)) as { name?: string; uid?: string }[]
      return guest && [guest.name, guest.uid]
    }

    it('where that says so of the guest, and of nothing else', () => {
      const guest = `<name>guest</name><uuid>${UUID}</uuid>`
      const anywhere = ['<!-- <name>decoy</name> -->', '<?x <name>decoy</name>?>']
      const inside = [
        '<![CDATA[<name>decoy</name>]]>', '<os x="<name>decoy</name>"/>',
        '<metadata><a:b xmlns:a="c>" d=\'>\'><name>decoy</name><uuid>decoy</uuid></a:b><name/></metadata>'
      ]
      for (const xml of [
        ...anywhere.map(decoy => `${decoy}<domain>${guest}`), ...[...anywhere, ...inside].map(decoy => `<domain>${decoy}${guest}`)
      ]) expect(described(xml), xml).to.deep.equal(['guest', UUID])
      for (const xml of [
        '<name>decoy</name>', '<network><name>decoy</name></network>', '<domain><name>decoy', '<domain/><name>decoy</name>',
        '<!DOCTYPE domain [<!ENTITY x "<domain>">]><domain><name>decoy</name></domain>', '<domain <name>decoy</name>', '<'.repeat(4000)
      ]) expect(described(xml), xml).to.equal(undefined)
    })

    it('as libvirt reads it', () => {
      const names = {
        '<name>first</name><name>second</name>': 'first', '<name>a&amp;b&#49;&#x32;&unknown;</name>': 'a&b12&unknown;',
        '<name>we<!-- x -->b<![CDATA[<1>]]></name>': 'web<1>', '< name>decoy</ name><name\n>guest</name >': undefined
      }
      for (const [xml, name] of Object.entries(names)) {
        expect(described(`<domain>${xml}</domain>`), xml).to.deep.equal(name && [name, undefined])
      }
      expect(described('<x:domain xmlns:x="y" type=\'kvm\'>\n<name >guest</name\n></x:domain>')).to.deep.equal(['guest', undefined])
    })

    it('in no more time for what was written to take long', () => {
      const before = process.cpuUsage()
      const nasty = [`<${'a'.repeat(4000)}`, `<domain ${'a="'.repeat(1300)}`, '<domain><!--'.repeat(300), `<domain>${'<a>'.repeat(1300)}`]
      for (const xml of nasty) for (let i = 0; i < 20; i++) described(xml)
      const { user, system } = process.cpuUsage(before)
      expect((user + system) / 1000, 'ms of CPU time').to.be.below(1000)
    })
  })

  it('is told of each call that prepares one', () => {
    const prepared = proceduresOf(PROGRAM.remote).filter(({ name }) => name.includes('MIGRATE_PREPARE')).map(({ number }) => number)
    expect([...CALLS.map(([proc]) => proc), REMOTE.domainMigratePrepare].sort()).to.deep.equal(prepared.sort())
  })
})
