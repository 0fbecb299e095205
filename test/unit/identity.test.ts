import { expect } from 'chai'
import { RemoteError } from '#protocol/errors.js'
import { decodeSetIdentity, encodeSetIdentity, identityParams, type Identity } from '#protocol/identity.js'
import { intParam, stringParam, writeParams, type TypedParam } from '#protocol/typed-params.js'
import { XdrWriter } from '#protocol/xdr.js'
import { hex } from '../support/hex.js'

const everything: Identity = {
  selinuxContext: 'unconfined_u:unconfined_r',
  x509DistinguishedName: 'C=GB,O=Red Hat,CN=client1',
  saslUserName: 'fred@EXAMPLE',
  processTime: 123_456_789_012,
  processId: 4711,
  groupId: 4_294_967_295,
  groupName: 'staff',
  userId: 1000,
  userName: 'fred'
}

const body = (params: TypedParam[], flags = 0): Buffer => writeParams(new XdrWriter(), params).u32(flags).finish()

function refusal(bytes: Buffer): RemoteError {
  try {
    decodeSetIdentity(bytes)
  } catch (error) {
    if (error instanceof RemoteError) return error
    throw error
  }
  throw new Error('the identity was accepted')
}

describe('identity of a client', () => {
  it('is told in the order of virtproxyd, with its types', () => {
    expect(identityParams(everything)).to.deep.equal([
      { field: 'user-name', type: 7, value: 'fred' },
      { field: 'unix-user-id', type: 4, value: 1000n },
      { field: 'group-name', type: 7, value: 'staff' },
      { field: 'unix-group-id', type: 4, value: 4_294_967_295n },
      { field: 'process-id', type: 3, value: 4711n },
      { field: 'process-time', type: 4, value: 123_456_789_012n },
      { field: 'sasl-user-name', type: 7, value: 'fred@EXAMPLE' },
      { field: 'x509-distinguished-name', type: 7, value: 'C=GB,O=Red Hat,CN=client1' },
      { field: 'selinux-context', type: 7, value: 'unconfined_u:unconfined_r' }
    ])
  })

  it('is an empty list when nothing is known, and it is sent all the same', () => {
    expect(encodeSetIdentity({})).to.deep.equal(hex('00000000 00000000'))
  })

  it('holds zero and the empty string, which are values like any other', () => {
    expect(identityParams({ userId: 0, x509DistinguishedName: '', processId: -1 })).to.deep.equal([
      { field: 'unix-user-id', type: 4, value: 0n },
      { field: 'process-id', type: 3, value: -1n },
      { field: 'x509-distinguished-name', type: 7, value: '' }
    ])
  })

  it('is read back as it was sent', () => {
    expect(decodeSetIdentity(encodeSetIdentity(everything))).to.deep.equal(everything)
    expect(decodeSetIdentity(encodeSetIdentity({}))).to.deep.equal({})
  })

  it('never keeps the token by which daemons know each other', () => {
    expect(decodeSetIdentity(body([stringParam('system.token', 'secret')]))).to.deep.equal({})
  })

  it('ignores flags', () => {
    expect(decodeSetIdentity(body([], 5))).to.deep.equal({})
  })

  it('refuses an unknown field', () => {
    expect(refusal(body([intParam('user-name', 1), stringParam('bogus-key', 'x')]))).to.include({
      code: 74,
      domain: 0,
      message: "argument unsupported: parameter 'bogus-key' not supported",
      str1: 'argument unsupported: %1$s',
      str2: "parameter 'bogus-key' not supported"
    })
  })

  it('refuses a wrong type', () => {
    expect(refusal(body([intParam('unix-user-id', 1)]))).to.include({
      code: 8,
      message: "invalid argument: invalid type 'int' for parameter 'unix-user-id', expected 'ullong'"
    })
  })

  it('refuses a field that comes twice', () => {
    expect(refusal(body([stringParam('user-name', 'a'), stringParam('user-name', 'b')]))).to.include({
      code: 8,
      message: "invalid argument: parameter 'user-name' occurs multiple times"
    })
  })

  it('cannot be decoded with more than twenty fields, or cut short', () => {
    const many = Array.from({ length: 21 }, (_, i) => stringParam(`field${i}`, ''))
    expect(refusal(body(many))).to.include({ code: 39, message: 'Unable to decode message payload' })
    expect(refusal(body(many.slice(1)))).to.include({ code: 74 })
    expect(refusal(hex('00000001 00000000'))).to.include({ code: 39 })
  })
})
