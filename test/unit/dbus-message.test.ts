import { expect } from 'chai'
import fc from 'fast-check'
import {
  announced, DbusError, DbusReader, DbusWriter, decodeMessage, encodeCall, TYPE, type Incoming
} from '#workers/polkit/dbus-message.js'
import { MessageReader } from '#workers/polkit/message-reader.js'
import { BusLost, socketPath } from '#workers/polkit/system-bus.js'
import { hex } from '../support/hex.js'

const HELLO = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  member: 'Hello'
}

/** An error reply to call 5, in big-endian: field 5 is the serial, 4 the name, 8 the signature. */
const ERROR = Buffer.concat([
  hex('42030001 00000007 00000009 0000001f'),
  hex('05017500 00000005  04017300 00000003 612e6200 00000000  08016700 017300 00'),
  hex('00000002 6e6f00')
])

/** A signal, or whatever type, with so many bytes behind its fixed part. */
function message(type: number, bytes: number): Buffer {
  const head = hex('6c000001 00000000 01000000 00000000')
  head[1] = type
  head.writeUInt32LE(bytes, 4)
  return Buffer.concat([head, Buffer.alloc(bytes, 0xff)])
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
    expect(announced(call)).to.deep.equal({ type: TYPE.methodCall, length: call.length })
    expect(decodeMessage(call)).to.include({ type: TYPE.methodCall, replySerial: undefined, signature: '' })
  })

  it('are read in big-endian too', () => {
    const message = decodeMessage(ERROR)
    expect(message).to.include({ type: TYPE.error, replySerial: 5, errorName: 'a.b', signature: 's' })
    expect(message.body.string()).to.equal('no')
  })

  it('that cannot be are refused at once', () => {
    expect(() => announced(Buffer.alloc(16))).to.throw(DbusError, 'byte order 0')
    const endless = hex('6c010001 ffffffff 07000000 00000000')
    expect(() => announced(endless)).to.throw(DbusError, 'message of')
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

describe('what a bus sends', () => {
  function read(sent: Buffer, cut: number): Incoming[] {
    const replies: Incoming[] = []
    const reader = new MessageReader(reply => replies.push(reply))
    const buffer = Buffer.alloc(cut)
    for (let at = 0; at < sent.length; at += cut) {
      const length = sent.copy(buffer, 0, at)
      reader.push(buffer.subarray(0, length))
      // The buffer is used again for what comes next.
      buffer.fill(0xee)
    }
    return replies
  }

  const sent = Buffer.concat([
    ERROR, message(TYPE.signal, 0), message(TYPE.signal, 300), ERROR, encodeCall(HELLO, 9), message(TYPE.signal, 1_100_000),
    message(TYPE.methodReturn, 0), ERROR, message(TYPE.methodReturn, 200_000), message(77, 50), ERROR, message(TYPE.methodCall, 16)
  ])

  it('is replies, wherever it is cut, and all else is passed over', () => {
    for (const cut of [1, 7, 15, 16, 17, 33, 100, 4096, 65_536, sent.length]) {
      const replies = read(sent, cut)
      expect(replies.map(({ replySerial }) => replySerial), `cut at ${cut}`).to.deep.equal([5, 5, 5, 5])
      expect(replies.map(({ body }) => body.string())).to.deep.equal(['no', 'no', 'no', 'no'])
    }
  })

  it('is not kept while it is passed over', () => {
    const reader = new MessageReader(() => {})
    const piece = Buffer.alloc(65_536)
    reader.push(message(TYPE.signal, 128 * 1024 * 1024 - 16).subarray(0, 16))
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 2047; i++) reader.push(piece)
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(1024 * 1024)
  })

  it('that is no D-Bus at all is refused', () => {
    expect(() => read(Buffer.from('GET / HTTP/1.1\r\n'), 5)).to.throw(DbusError)
    expect(() => read(Buffer.concat([sent, Buffer.alloc(16)]), 1000)).to.throw(DbusError)
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
