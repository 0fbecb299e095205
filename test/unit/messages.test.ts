import { expect } from 'chai'
import fc from 'fast-check'
import { HEADER_BYTES, MESSAGE, PROGRAM, readHeader, STATUS } from '#protocol/header.js'
import * as auth from '#protocol/messages/auth.js'
import * as connect from '#protocol/messages/connect.js'
import * as events from '#protocol/messages/events.js'
import { callFrame, eventFrame, replyFrame } from '#protocol/messages/frames.js'
import { PING_FRAME, PONG_FRAME } from '#protocol/messages/keepalive.js'
import * as streams from '#protocol/messages/streams.js'
import { proceduresOf, QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrError } from '#protocol/xdr.js'
import { hex } from '../support/hex.js'

const call = (proc: number, serial: number) => readHeader(callFrame(proc, serial))
const bodyOf = (frame: Buffer): Buffer => frame.subarray(HEADER_BYTES)

// Taken from a conversation of virsh and libvirtd.
describe('opening a connection', () => {
  it('asks for the authentication', () => {
    const asked = hex('0000001c 20008086 00000001 00000042 00000000 00000000 00000000')
    expect(callFrame(REMOTE.authList, 0)).to.deep.equal(asked)
    const answer = hex('00000024 20008086 00000001 00000042 00000001 00000000 00000000 00000001 00000000')
    expect(replyFrame(readHeader(asked), auth.encodeAuthList([auth.AUTH.none]))).to.deep.equal(answer)
    expect(auth.decodeAuthList(bodyOf(answer))).to.deep.equal([auth.AUTH.none])
  })

  it('asks for keepalive', () => {
    const asked = hex('00000020 20008086 00000001 0000003c 00000000 00000001 00000000 0000000a')
    expect(callFrame(REMOTE.connectSupportsFeature, 1, connect.encodeFeature(connect.FEATURE.keepalive)))
      .to.deep.equal(asked)
    expect(connect.decodeFeature(bodyOf(asked))).to.equal(10)
    const answer = hex('00000020 20008086 00000001 0000003c 00000001 00000001 00000000 00000001')
    expect(replyFrame(readHeader(asked), connect.encodeSupported(true))).to.deep.equal(answer)
    expect(connect.decodeSupported(bodyOf(answer))).to.equal(true)
  })

  it('opens test:///default', () => {
    const asked = hex(`00000038 20008086 00000001 00000001 00000000 00000002 00000000
      00000001 0000000f 74657374 3a2f2f2f 64656661 756c7400 00000000`)
    expect(callFrame(REMOTE.connectOpen, 2, connect.encodeOpen({ name: 'test:///default', flags: 0 })))
      .to.deep.equal(asked)
    expect(connect.decodeOpen(bodyOf(asked))).to.deep.equal({ name: 'test:///default', flags: 0 })
    expect(replyFrame(readHeader(asked)))
      .to.deep.equal(hex('0000001c 20008086 00000001 00000001 00000001 00000002 00000000'))
  })

  it('opens without a name, and with an empty one', () => {
    const nameless = { name: undefined, flags: connect.OPEN_READONLY }
    expect(connect.encodeOpen(nameless)).to.deep.equal(hex('00000000 00000001'))
    expect(connect.decodeOpen(hex('00000000 00000001'))).to.deep.equal({ name: undefined, flags: 1 })
    expect(connect.decodeOpen(hex('00000001 00000000 00000000'))).to.deep.equal({ name: '', flags: 0 })
  })

  it('takes what real clients send beyond the rule', () => {
    expect(connect.decodeOpen(hex('00000007 00000001 61ffffff 000000ff 12345678')))
      .to.deep.equal({ name: 'a', flags: 0xff })
  })

  it('tells the URI', () => {
    expect(connect.encodeText('test:///default')).to.deep.equal(hex('0000000f 74657374 3a2f2f2f 64656661 756c7400'))
    expect(connect.decodeText(hex('0000000f 74657374 3a2f2f2f 64656661 756c7400'))).to.equal('test:///default')
  })
})

describe('SASL messages', () => {
  it('list the mechanisms', () => {
    expect(auth.encodeSaslMechanisms('PLAIN')).to.deep.equal(hex('00000005 504c4149 4e000000'))
    expect(auth.decodeSaslMechanisms(hex('00000005 504c4149 4e000000'))).to.equal('PLAIN')
  })

  it('carry four bytes for each byte of data', () => {
    const body = hex(`0000000d 53435241 4d2d5348 412d3235 36000000 00000000
      00000008 0000006e 0000002c 0000002c 0000006e 0000003d 00000062 0000006f 00000062`)
    const start = { mechanism: 'SCRAM-SHA-256', data: Buffer.from('n,,n=bob') }
    expect(auth.encodeSaslStart(start)).to.deep.equal(body)
    expect(auth.decodeSaslStart(body)).to.deep.equal(start)
  })

  it('sign-extend bytes above 127, and take them in any form', () => {
    expect(auth.encodeSaslStep(Buffer.of(0xc3))).to.deep.equal(hex('00000000 00000001 ffffffc3'))
    expect(auth.decodeSaslStep(hex('00000000 00000001 ffffffc3'))).to.deep.equal(Buffer.of(0xc3))
    expect(auth.decodeSaslStep(hex('00000000 00000001 000000c3'))).to.deep.equal(Buffer.of(0xc3))
  })

  it('tell no data from empty data', () => {
    expect(auth.encodeSaslStep(undefined)).to.deep.equal(hex('00000001 00000000'))
    expect(auth.encodeSaslStep(Buffer.alloc(0))).to.deep.equal(hex('00000000 00000000'))
    expect(auth.decodeSaslStep(hex('00000001 00000000'))).to.equal(undefined)
    expect(auth.decodeSaslStep(hex('00000000 00000000'))).to.deep.equal(Buffer.alloc(0))
  })

  it('say in the reply whether the client is in', () => {
    const reply = { complete: true, data: Buffer.from('v=') }
    expect(auth.encodeSaslReply(reply)).to.deep.equal(hex('00000001 00000000 00000002 00000076 0000003d'))
    expect(auth.decodeSaslReply(auth.encodeSaslReply(reply))).to.deep.equal(reply)
    const going = { complete: false, data: undefined }
    expect(auth.decodeSaslReply(auth.encodeSaslReply(going))).to.deep.equal(going)
  })

  it('hold 65536 bytes and not one more', () => {
    const most = Buffer.alloc(65_536, 7)
    expect(auth.decodeSaslStep(auth.encodeSaslStep(most))).to.deep.equal(most)
    expect(() => auth.encodeSaslStep(Buffer.alloc(65_537))).to.throw(RangeError)
    expect(() => auth.decodeSaslStep(hex('00000000 00010001'))).to.throw(XdrError)
  })

  it('survive any data', () => {
    fc.assert(
      fc.property(fc.string(), fc.option(fc.uint8Array(), { nil: undefined }), (mechanism, bytes) => {
        const start = { mechanism: mechanism.replaceAll('\0', ''), data: bytes && Buffer.from(bytes) }
        expect(auth.decodeSaslStart(auth.encodeSaslStart(start))).to.deep.equal(start)
      })
    )
  })
})

describe('polkit reply', () => {
  it('says complete', () => {
    expect(auth.encodePolkitReply()).to.deep.equal(hex('00000001'))
    expect(auth.decodePolkitReply(hex('00000001'))).to.equal(true)
  })
})

describe('keepalive frames', () => {
  it('are those of libvirt', () => {
    expect(PING_FRAME).to.deep.equal(hex('0000001c 6b656570 00000001 00000001 00000002 00000000 00000000'))
    expect(PONG_FRAME).to.deep.equal(hex('0000001c 6b656570 00000001 00000002 00000002 00000000 00000000'))
  })
})

describe('event messages', () => {
  it('bring the id of their registration', () => {
    const answer = hex('00000020 20008086 00000001 0000013c 00000001 00000006 00000000 00000004')
    const asked = call(REMOTE.connectDomainEventCallbackRegisterAny, 6)
    expect(replyFrame(asked, events.encodeCallbackId(4))).to.deep.equal(answer)
    expect(events.decodeCallbackId(bodyOf(answer))).to.equal(4)
    const event = hex(`00000044 20008086 00000001 0000013e 00000002 00000001 00000000
      00000004 00000004 74657374 6695eb01 f6a48304 79aa97f2 502e193f ffffffff 00000005 00000001`)
    expect(eventFrame(REMOTE.domainEventCallbackLifecycle, bodyOf(event))).to.deep.equal(event)
    expect(events.decodeCallbackId(bodyOf(event))).to.equal(4)
  })

  it('of the older form, and the one about the lost driver, have no id', () => {
    const without = proceduresOf(PROGRAM.remote)
      .filter(({ kind, number }) => kind === 'event' && !events.carriesCallbackId(PROGRAM.remote, number))
      .map(({ number }) => number)
    expect(without).to.deep.equal([
      107, 169, 170, 171, 172, 173, 195, 224, 241, 248, 268, 269, 270, 276, 292, 311, 362
    ])
    expect(events.carriesCallbackId(PROGRAM.qemu, QEMU.domainMonitorEvent)).to.equal(true)
    expect(events.carriesCallbackId(PROGRAM.keepalive, 1)).to.equal(false)
  })

  it('are registered for by nine pairs of calls', () => {
    const numbers = events.REGISTRATIONS.map(({ register, deregister }) => [register, deregister])
    expect(numbers).to.deep.equal([
      [105, 106], [167, 168], [316, 317], [313, 314], [368, 369], [374, 375], [380, 381], [360, 361], [4, 5]
    ])
  })

  it('tell that the driver is gone', () => {
    const frame = connect.connectionClosedFrame(connect.CLOSE_REASON.endOfFile)
    expect(frame).to.deep.equal(hex('00000020 20008086 00000001 0000016a 00000002 00000001 00000000 00000001'))
    expect(connect.decodeCloseReason(bodyOf(frame))).to.equal(1)
  })
})

describe('stream frames', () => {
  const upload = { prog: PROGRAM.remote, proc: REMOTE.storageVolUpload, serial: 10 }
  const download = { prog: PROGRAM.remote, proc: REMOTE.storageVolDownload, serial: 10 }

  it('carry data without padding', () => {
    expect(streams.streamData(upload, Buffer.from('hello-stream'))).to.deep.equal(
      hex('00000028 20008086 00000001 000000d0 00000003 0000000a 00000002 68656c6c 6f2d7374 7265616d')
    )
    expect(streams.streamData(download, Buffer.from('str'))).to.deep.equal(
      hex('0000001f 20008086 00000001 000000d1 00000003 0000000a 00000002 737472')
    )
  })

  it('end the data with an empty piece', () => {
    expect(streams.streamData(download, Buffer.alloc(0))).to.deep.equal(
      hex('0000001c 20008086 00000001 000000d1 00000003 0000000a 00000002')
    )
  })

  it('finish and abort', () => {
    expect(streams.streamFinish(upload)).to.deep.equal(
      hex('0000001c 20008086 00000001 000000d0 00000003 0000000a 00000000')
    )
    expect(readHeader(streams.streamAbort(upload))).to.include({ type: MESSAGE.stream, status: STATUS.error })
  })

  it('skip a hole of two megabytes', () => {
    const hole = hex(`00000028 20008086 00000001 000000d0 00000006 0000000a 00000002
      00000000 00200000 00000000`)
    expect(streams.streamHole(upload, 2_097_152n)).to.deep.equal(hole)
    expect(streams.decodeHole(bodyOf(hole))).to.equal(2_097_152n)
  })
})

describe('garbage in place of a body', () => {
  const decoders = {
    AUTH_LIST: auth.decodeAuthList,
    AUTH_SASL_INIT: auth.decodeSaslMechanisms,
    'AUTH_SASL_START call': auth.decodeSaslStart,
    'AUTH_SASL_STEP call': auth.decodeSaslStep,
    'AUTH_SASL_STEP reply': auth.decodeSaslReply,
    AUTH_POLKIT: auth.decodePolkitReply,
    CONNECT_OPEN: connect.decodeOpen,
    'CONNECT_SUPPORTS_FEATURE call': connect.decodeFeature,
    'CONNECT_SUPPORTS_FEATURE reply': connect.decodeSupported,
    CONNECT_GET_URI: connect.decodeText,
    CONNECT_EVENT_CONNECTION_CLOSED: connect.decodeCloseReason,
    'callback id': events.decodeCallbackId,
    STREAM_HOLE: streams.decodeHole
  }
  for (const [name, decode] of Object.entries(decoders)) {
    it(`${name} is decoded or refused with an XdrError`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
          try {
            decode(Buffer.from(bytes))
          } catch (error) {
            expect(error).to.be.instanceOf(XdrError)
          }
        })
      )
      expect(() => decode(Buffer.alloc(0))).to.throw(XdrError)
    })
  }
})
