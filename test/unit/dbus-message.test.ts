import { expect } from 'chai'
import fc from 'fast-check'
import {
  DbusError,
  DbusReader,
  DbusWriter,
  decodeMessage,
  encodeCall,
  messageLength,
  TYPE
} from '#workers/polkit/dbus-message.js'
import { BusLost, socketPath } from '#workers/polkit/system-bus.js'
import { hex } from '../support/hex.js'

const HELLO = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  member: 'Hello'
}

describe('D-Bus messages', () => {
  it('have their values at natural alignments, and arrays a length without the padding in front', () => {
    const bytes = new DbusWriter().byte(1).u32(2).byte(3).u64(4).array(8, xdr => xdr.byte(5)).string('ab').finish()
    expect(bytes).to.deep.equal(hex(`
      01000000 02000000 03000000 00000000 0400000000000000
      01000000 00000000 05000000 02000000 616200`))
  })

  it('are calls with path, interface, member and destination', () => {
    const call = encodeCall(HELLO, 7)
    expect(call.subarray(0, 12)).to.deep.equal(hex('6c010001 00000000 07000000'))
    expect(messageLength(call, 0)).to.equal(call.length)
    expect(decodeMessage(call)).to.include({ type: TYPE.methodCall, replySerial: undefined, signature: '' })
  })

  it('say before they are complete how long they will be', () => {
    const call = encodeCall(HELLO, 7)
    expect(messageLength(call.subarray(0, 15), 0)).to.equal(undefined)
    expect(messageLength(call.subarray(0, 16), 0)).to.equal(call.length)
  })

  it('are read in big-endian too', () => {
    // An error reply to call 5: field 5 is the serial, 4 the name, 8 the signature.
    const fields = hex('05017500 00000005  04017300 00000003 612e6200 00000000  08016700 017300 00')
    const reply = Buffer.concat([
      hex('42030001 00000007 00000009 0000001f'), fields, hex('00000002 6e6f00')
    ])
    const message = decodeMessage(reply)
    expect(message).to.include({ type: TYPE.error, replySerial: 5, errorName: 'a.b', signature: 's' })
    expect(message.body.string()).to.equal('no')
  })

  it('that cannot be are refused at once', () => {
    expect(() => messageLength(Buffer.alloc(16), 0)).to.throw(DbusError, 'byte order 0')
    const endless = hex('6c010001 ffffffff 07000000 00000000')
    expect(() => messageLength(endless, 0)).to.throw(DbusError, 'message of')
  })

  it('of noise throw DbusError and nothing else', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, little) => {
      const bytes = Buffer.concat([Buffer.from(noise)])
      const reader = new DbusReader(bytes, little)
      try {
        reader.array(8, inner => [inner.byte(), inner.signature(), inner.string(), inner.u32()])
      } catch (error) {
        expect(error).to.be.instanceOf(DbusError)
      }
    }))
  })
})

describe('the address of a bus', () => {
  const addresses: [string, string][] = [
    ['unix:path=/run/dbus/system_bus_socket', '/run/dbus/system_bus_socket'],
    ['unix:guid=1234,path=/a', '/a'],
    ['unix:abstract=/tmp/x,guid=1', '\0/tmp/x'],
    ['tcp:host=127.0.0.1,port=1;unix:path=/b%2cc', '/b,c']
  ]
  for (const [address, path] of addresses) {
    it(`${address} leads to ${JSON.stringify(path)}`, () => expect(socketPath(address)).to.equal(path))
  }

  it('that is of another kind leads nowhere', () => {
    for (const address of ['', 'tcp:host=127.0.0.1', 'unix:tmpdir=/tmp', 'nonsense']) {
      expect(() => socketPath(address), address).to.throw(BusLost)
    }
  })
})
