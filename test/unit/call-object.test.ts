import { expect } from 'chai'
import fc from 'fast-check'
import { readObject, type Named } from '#protocol/call-object.js'
import type { ObjectKind } from '#protocol/procedure-row.js'
import { XdrWriter } from '#protocol/xdr.js'

const UUID = '6695eb01-f6a4-8304-79aa-97f2502e193f'
const uuid = Buffer.from(UUID.replaceAll('-', ''), 'hex')
const xdr = (): XdrWriter => new XdrWriter()
const guest = (writer = xdr()): XdrWriter => writer.string('guest').fixed(uuid).i32(7)
const GUEST = { type: 'domain', name: 'guest', uid: UUID } as const

const KINDS: readonly (readonly [ObjectKind, XdrWriter, Named])[] = [
  ['domain', guest(), [GUEST]],
  ['domain_name', xdr().string('guest'), [{ type: 'domain', name: 'guest', uid: undefined }]],
  ['domain_snapshot', guest(xdr().string('before')), [{ type: 'domain_snapshot', name: 'before', uid: undefined }, GUEST]],
  ['domain_checkpoint', guest(xdr().string('c1')), [{ type: 'domain_checkpoint', name: 'c1', uid: undefined }, GUEST]],
  ['network', xdr().string('default').fixed(uuid), [{ type: 'network', name: 'default', uid: UUID }]],
  ['network_port', xdr().string('default').fixed(Buffer.alloc(16)).fixed(uuid), [
    { type: 'network_port', name: undefined, uid: UUID },
    { type: 'network', name: 'default', uid: '00000000-0000-0000-0000-000000000000' }
  ]],
  ['interface', xdr().string('eth0').string('52:54:00:00:00:01'), [{ type: 'interface', name: 'eth0', uid: '52:54:00:00:00:01' }]],
  ['storage_pool', xdr().string('images').fixed(uuid), [{ type: 'storage_pool', name: 'images', uid: UUID }]],
  ['storage_vol', xdr().string('images').string('a.img').string('/images/a.img'), [
    { type: 'storage_vol', name: 'a.img', uid: '/images/a.img' }, { type: 'storage_pool', name: 'images', uid: undefined }
  ]],
  ['node_device', xdr().string('pci_0000_00_02_0'), [{ type: 'node_device', name: 'pci_0000_00_02_0', uid: undefined }]],
  ['secret', xdr().fixed(uuid).i32(1).string('/a.img'), [{ type: 'secret', name: '/a.img', uid: UUID }]],
  ['nwfilter', xdr().string('clean').fixed(uuid), [{ type: 'nwfilter', name: 'clean', uid: UUID }]],
  ['nwfilter_binding', xdr().string('vnet0').string('clean'), [{ type: 'nwfilter_binding', name: 'vnet0', uid: undefined }]],
  ['file', xdr().string('/save/a'), [{ type: 'file', name: '/save/a', uid: undefined }]]
]

describe('the object of a call', () => {
  for (const [kind, writer, named] of KINDS) {
    it(`is read from the head of its arguments: ${kind}`, () => {
      const bytes = Buffer.from(writer.string('what follows').finish())
      expect(readObject(kind, bytes)).to.deep.equal(named)
      // In the middle of a buffer, and with other people's bytes around it.
      const within = Buffer.concat([Buffer.alloc(8, 0xff), bytes, Buffer.alloc(8, 0xff)])
      expect(readObject(kind, within, 8, 8 + bytes.length)).to.deep.equal(named)
      expect(readObject(kind, within, 8, 9)).to.deep.equal([])
    })
  }

  it('is cut where its name is long, without being read to its end', () => {
    const [found] = readObject('domain', Buffer.from(xdr().string('x'.repeat(3_000_000)).fixed(uuid).i32(1).finish()))
    expect(found!.name).to.equal(`${'x'.repeat(1024)}…`)
    expect(found!.uid).to.equal(UUID)
  })

  it('is told as far as it is there', () => {
    const bytes = Buffer.from(xdr().string('images').string('a long name').string('/key').finish())
    const pool = { type: 'storage_pool', name: 'images', uid: undefined }
    expect(readObject('storage_vol', bytes, 0, 12)).to.deep.equal([pool])
    expect(readObject('storage_vol', bytes, 0, 22)).to.deep.equal([{ type: 'storage_vol', name: 'a long…', uid: undefined }, pool])
    expect(readObject('domain', Buffer.from(guest().finish()), 0, 20)).to.deep.equal([{ ...GUEST, uid: undefined }])
    expect(readObject('secret', Buffer.alloc(12, 1))).to.deep.equal([])
  })

  it('is none in what does not decode', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...KINDS.map(([kind]) => kind)), (bytes, kind) => {
      expect(readObject(kind, Buffer.from(bytes)).length).to.be.within(0, 2)
    }))
  })
})
