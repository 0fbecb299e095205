import { expect } from 'chai'
import fc from 'fast-check'
import {
  authenticationRequired, CODE, decodeError, DOMAIN, encodeError, errorReply, internalError, RemoteError, streamError,
  rpcError, systemError, templated, undecodable, unexpectedStatus, unknownProcedure, unknownProgram
} from '#protocol/errors.js'
import { HEADER_BYTES, MESSAGE, PROGRAM, readHeader, STATUS } from '#protocol/header.js'
import { XdrError } from '#protocol/xdr.js'
import { hex } from '../support/hex.js'

// libvirtd's answer to a look-up of a domain that does not exist.
const captured = hex(`00000070 20008086 00000001 00000017 00000001 00000004 00000001
  0000002a 0000000c
  00000001 00000010 446f6d61 696e206e 6f742066 6f756e64
  00000002 00000000
  00000001 00000010 446f6d61 696e206e 6f742066 6f756e64
  00000000 00000000 ffffffff ffffffff 00000000`)

const fields = ({ code, domain, message, str1, str2, str3, int1, int2 }: RemoteError) => ({
  code, domain, message, str1, str2, str3, int1, int2
})

describe('error reply', () => {
  const call = readHeader(hex('00000024 20008086 00000001 00000017 00000000 00000004 00000000 00000004 6e6f7065'))

  it('is byte for byte that of libvirtd', () => {
    const error = new RemoteError(CODE.noDomain, DOMAIN.test, 'Domain not found', { str1: 'Domain not found' })
    expect(errorReply(call, error)).to.deep.equal(captured)
  })

  it('is read back', () => {
    expect(fields(decodeError(captured, HEADER_BYTES))).to.deep.equal({
      code: 42,
      domain: 12,
      message: 'Domain not found',
      str1: 'Domain not found',
      str2: undefined,
      str3: undefined,
      int1: -1,
      int2: -1
    })
  })

  it('is of type REPLY even to a call with descriptors, and echoes program, version and serial of the caller', () => {
    const odd = { prog: 77, vers: 9, proc: -5, type: MESSAGE.callWithFds, serial: 0xfffffffe, status: STATUS.ok }
    expect(readHeader(errorReply(odd, unknownProgram(77, 9)))).to.deep.equal({
      ...odd,
      type: MESSAGE.reply,
      status: STATUS.error
    })
  })

  it('breaks a stream', () => {
    const frame = streamError(PROGRAM.remote, 209, 10, internalError('gone'))
    expect(readHeader(frame)).to.include({ proc: 209, serial: 10, type: MESSAGE.stream, status: STATUS.error })
    expect(decodeError(frame, HEADER_BYTES).message).to.equal('internal error: gone')
  })

  it('with the historic domain and network inside is understood', () => {
    const payload = hex(`0000002a 0000000c 00000000 00000002
      00000001 00000004 74657374 6695eb01 f6a48304 79aa97f2 502e193f ffffffff
      00000001 00000001 61000000 00000000 00000000 00000001 00000002
      00000001 00000001 62000000 6695eb01 f6a48304 79aa97f2 502e193f`)
    expect(fields(decodeError(payload))).to.deep.equal({
      code: 42, domain: 12, message: '', str1: 'a', str2: undefined, str3: undefined, int1: 1, int2: 2
    })
  })

  it('that ends too early is refused', () => {
    for (let end = HEADER_BYTES; end < captured.length - 4; end += 4) {
      expect(() => decodeError(captured, HEADER_BYTES, end)).to.throw(XdrError)
    }
  })
})

describe('texts that clients look at', () => {
  const texts: [RemoteError, number, number, string][] = [
    [unknownProgram(1, 2), 39, 7, 'Cannot find program 1 version 2'],
    [unknownProgram(0x20008086, 4_294_967_295), 39, 7, 'Cannot find program 536903814 version 4294967295'],
    [unknownProcedure(9999), 39, 7, 'unknown procedure: 9999'],
    [unknownProcedure(-1), 39, 7, 'unknown procedure: -1'],
    [unexpectedStatus(7), 39, 7, 'Unexpected message status 7'],
    [undecodable(), 39, 7, 'Unable to decode message payload'],
    [authenticationRequired(), 39, 7, 'authentication required'],
    [internalError('client socket is closed'), 1, 7, 'internal error: client socket is closed']
  ]
  for (const [error, code, domain, message] of texts) {
    it(message, () => expect(error).to.include({ code, domain, message, int1: -1, int2: -1 }))
  }

  it('have template and detail beside them', () => {
    expect(unknownProcedure(1)).to.include({ str1: '%s', str2: 'unknown procedure: 1' })
    expect(internalError('x', DOMAIN.remote)).to.include({ domain: 13, str1: 'internal error: %1$s', str2: 'x' })
    expect(templated(CODE.noSupport, DOMAIN.domain, 'not supported: %1$s', "$& $' $1 %1$s")).to.include({
      message: "not supported: $& $' $1 %1$s"
    })
  })

  it('are no longer than libvirt lets them be, whatever a client puts into them', () => {
    for (const [text, kept] of [
      ['x'.repeat(1023), 1023], ['x'.repeat(5_000_000), 1023], ['é'.repeat(1000), 511], ['\ufffd'.repeat(400), 341],
      [`x${'😀'.repeat(400)}`, 511], ['x'.repeat(341), 341]
    ] as const) {
      for (const error of [rpcError(text), internalError(text), systemError(5, text), templated(1, 7, '%1$s', text)]) {
        expect(error.str2).to.equal(text.slice(0, kept))
        expect(Buffer.byteLength(error.str2!)).to.be.at.most(1023)
        expect(encodeError(error).length).to.be.below(2200)
      }
    }
  })

  it('carry the errno of a system error', () => {
    expect(systemError(104, 'Cannot recv data: Connection reset by peer')).to.include({
      code: 38, domain: 7, str1: '%s', str2: 'Cannot recv data: Connection reset by peer', int1: 104, int2: -1
    })
  })
})

describe('any error', () => {
  it('survives encoding', () => {
    const text = fc.string({ unit: 'grapheme' }).map(string => string.replaceAll('\0', ''))
    const word = fc.integer({ min: -0x80000000, max: 0x7fffffff })
    const detail = fc.record({ str1: text, str2: text, str3: text, int1: word, int2: word }, { requiredKeys: [] })
    fc.assert(
      fc.property(word, word, text, detail, (code, domain, message, more) => {
        const error = new RemoteError(code, domain, message, more)
        expect(fields(decodeError(encodeError(error)))).to.deep.equal(fields(error))
      })
    )
  })

  it('made of garbage is an XdrError at worst', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), garbage => {
        try {
          expect(decodeError(Buffer.from(garbage))).to.be.instanceOf(RemoteError)
        } catch (error) {
          expect(error).to.be.instanceOf(XdrError)
        }
      })
    )
  })
})
