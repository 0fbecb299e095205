import { expect } from 'chai'
import { PROGRAM } from '#protocol/header.js'
import { QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { callObject } from '#workers/observe/call-object.js'

const UUID = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
const args = (...names: string[]): Buffer => names.reduce((xdr, name) => xdr.string(name), new XdrWriter(1024)).finish()
const object = (proc: number, head: Buffer): string | undefined => callObject(PROGRAM.remote, proc, head)

describe('what a call is about', () => {
  it('is what its arguments begin with', () => {
    for (const proc of [REMOTE.domainGetInfo, REMOTE.domainLookupByName, REMOTE.networkGetXmlDesc, REMOTE.storagePoolRefresh]) {
      expect(object(proc, Buffer.concat([args('guest'), UUID]))).to.equal('guest')
    }
    expect(callObject(PROGRAM.qemu, QEMU.domainMonitorCommand, args('guest'))).to.equal('guest')
    expect(object(REMOTE.storageVolGetInfo, args('pool', 'disk.qcow2', '/key'))).to.equal('pool/disk.qcow2')
    expect(object(REMOTE.domainLookupByUuid, UUID)).to.equal('00112233-4455-6677-8899-aabbccddeeff')
    const secret = Buffer.concat([UUID, Buffer.alloc(4), args('x')])
    expect(object(REMOTE.secretGetValue, secret)).to.equal('00112233-4455-6677-8899-aabbccddeeff')
    expect(object(REMOTE.domainRevertToSnapshot, Buffer.concat([args('before', 'guest'), UUID]))).to.equal('guest/before')
  })

  it('is cut where the rest is not kept', () => {
    expect(object(REMOTE.domainGetInfo, args('a long name').subarray(0, 10))).to.equal('a long…')
  })

  it('is not known where something else stands there', () => {
    for (const proc of [REMOTE.domainCreateXml, REMOTE.domainDefineXml, REMOTE.networkCreateXml]) {
      expect(object(proc, args('  <domain><name>x</name></domain>'))).to.equal(undefined)
    }
    expect(object(REMOTE.domainLookupById, Buffer.from([0, 0, 0, 3, 65, 65, 65, 0]))).to.equal(undefined)
    expect(object(REMOTE.connectOpen, args('qemu:///system'))).to.equal(undefined)
    expect(object(REMOTE.connectGetType, Buffer.alloc(0))).to.equal(undefined)
    expect(object(9999, args('x'))).to.equal(undefined)
    for (let length = 0; length < 16; length++) expect(object(REMOTE.domainLookupByUuid, UUID.subarray(0, length))).to.equal(undefined)
    for (let length = 0; length < 4; length++) expect(object(REMOTE.domainGetInfo, args('x').subarray(0, length))).to.equal(undefined)
  })
})
