import { expect } from 'chai'
import fc from 'fast-check'
import {
  encodeFrame, frameLength, frameProcedure, frameProgram, frameSerial, frameStatus, frameType, frameVersion,
  HEADER_BYTES, legalFrameLength, MAX_FRAME_BYTES, MESSAGE, PROGRAM, readHeader, STATUS, writeHeader
} from '#protocol/header.js'
import { hex } from '../support/hex.js'

const call = hex('00000020 20008086 00000001 0000003c 00000000 00000001 00000000 0000000a')

describe('frame header', () => {
  it('is read in place, at any offset', () => {
    for (const at of [0, 3]) {
      const bytes = Buffer.concat([Buffer.alloc(at, 0xff), call])
      expect(frameLength(bytes, at)).to.equal(32)
      expect(frameProgram(bytes, at)).to.equal(PROGRAM.remote)
      expect(frameVersion(bytes, at)).to.equal(1)
      expect(frameProcedure(bytes, at)).to.equal(60)
      expect(frameType(bytes, at)).to.equal(MESSAGE.call)
      expect(frameSerial(bytes, at)).to.equal(1)
      expect(frameStatus(bytes, at)).to.equal(STATUS.ok)
    }
  })

  it('reads words above 2^31 as unsigned, but a procedure as signed', () => {
    const bytes = Buffer.alloc(HEADER_BYTES, 0xff)
    expect(readHeader(bytes)).to.deep.equal({
      prog: 0xffffffff,
      vers: 0xffffffff,
      proc: -1,
      type: 0xffffffff,
      serial: 0xffffffff,
      status: 0xffffffff
    })
    expect(frameLength(bytes, 0)).to.equal(0xffffffff)
  })

  it('is written with the length of the whole frame', () => {
    const header = { prog: PROGRAM.remote, vers: 1, proc: 60, type: MESSAGE.call, serial: 1, status: STATUS.ok }
    expect(encodeFrame(header, hex('0000000a'))).to.deep.equal(call)
    expect(encodeFrame({ ...header, serial: 0xffffffff })).to.deep.equal(
      hex('0000001c 20008086 00000001 0000003c 00000000 ffffffff 00000000')
    )
  })

  it('survives writing and reading, whatever its words', () => {
    const word = fc.nat(0xffffffff)
    const headers = fc.record({
      prog: word,
      vers: word,
      proc: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
      type: word,
      serial: word,
      status: word
    })
    fc.assert(
      fc.property(headers, word, fc.nat(9), (header, length, at) => {
        const bytes = Buffer.alloc(at + HEADER_BYTES)
        writeHeader(bytes, at, length, header)
        expect(readHeader(bytes, at)).to.deep.equal(header)
        expect(frameLength(bytes, at)).to.equal(length)
        expect(bytes.readUInt32BE(at + 4)).to.equal(header.prog)
        expect(bytes.readInt32BE(at + 12)).to.equal(header.proc)
      })
    )
  })
})

describe('frame length', () => {
  it('is at least that of the header, and at most 32 MiB and its own word', () => {
    expect([0, 3, 4, 27, 28, 33_554_436, 33_554_437, 0xffffffff].map(legalFrameLength)).to.deep.equal([
      false, false, false, false, true, true, false, false
    ])
  })

  it('is kept when frames are made', () => {
    const header = readHeader(call)
    expect(encodeFrame(header, Buffer.alloc(MAX_FRAME_BYTES - HEADER_BYTES))).to.have.length(MAX_FRAME_BYTES)
    expect(() => encodeFrame(header, Buffer.alloc(MAX_FRAME_BYTES - HEADER_BYTES + 1))).to.throw(RangeError)
  })
})
