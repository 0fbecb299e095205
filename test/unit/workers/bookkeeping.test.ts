import { expect } from 'chai'
import fc from 'fast-check'
import { KIND } from '#protocol/call-kinds.js'
import { PROGRAM } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { CallTable } from '#workers/session/call-table.js'
import { WaitingCalls } from '#workers/session/waiting-calls.js'
import { pattern } from '../../support/pattern.js'

/** Takes the oldest call out; what has come of it. */
function taken(waiting: WaitingCalls): Buffer {
  const { bytes, length, missing } = waiting.first!
  waiting.take(waiting.first!)
  return bytes.subarray(0, length - missing)
}

/** The kind of the call that such a reply answers, which is out of the table then; -1 if there is none. */
function settle(table: CallTable, prog: number, proc: number, serial: number): number {
  const place = table.find(prog, proc, serial)
  if (place < 0) return -1
  const kind = table.kindAt(place)
  table.remove(place)
  return kind
}

describe('the table of calls that a daemon has', () => {
  it('finds a call by program, procedure and serial, in any order, once', () => {
    const table = new CallTable()
    for (const serial of [1, 2, 0xffffffff]) table.add(5, 10 + (serial & 3), serial, KIND.stream)
    expect(table.size).to.equal(3)
    expect(settle(table, 5, 13, 0xffffffff)).to.equal(KIND.stream)
    expect(settle(table, 5, 13, 0xffffffff)).to.equal(-1)
    expect(settle(table, 6, 11, 1), 'other program').to.equal(-1)
    expect(settle(table, 5, 12, 1), 'other procedure').to.equal(-1)
    expect(settle(table, 5, 11, 1)).to.equal(KIND.stream)
    expect(table.size).to.equal(1)
  })

  it('takes the older of two equal calls first', () => {
    const table = new CallTable()
    table.add(5, 1, 7, 0)
    table.add(5, 1, 7, KIND.stream)
    expect([settle(table, 5, 1, 7), settle(table, 5, 1, 7)]).to.deep.equal([0, KIND.stream])
  })

  it('keeps the others in their order, whatever comes and goes', () => {
    const step = fc.record({ adds: fc.boolean(), serial: fc.nat(3), kind: fc.constantFrom(0, KIND.stream) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const table = new CallTable()
        const model: { serial: number; kind: number }[] = []
        for (const { adds, serial, kind } of steps) {
          if (adds) {
            table.add(5, 1, serial, kind)
            model.push({ serial, kind })
          } else {
            const at = model.findIndex(call => call.serial === serial)
            const expected = at < 0 ? -1 : model.splice(at, 1)[0]!.kind
            expect(settle(table, 5, 1, serial)).to.equal(expected)
          }
          expect(table.size).to.equal(model.length)
        }
        expect(table.takeAll().map(({ serial }) => serial)).to.deep.equal(model.map(({ serial }) => serial))
      })
    )
  })

  it('gives up its calls as headers for their replies', () => {
    const table = new CallTable()
    table.add(0x20008086, 4, 0xfffffffe, 0)
    const [call] = table.takeAll()
    expect(call).to.deep.equal({ prog: 0x20008086, vers: 1, proc: 4, type: 0, serial: 0xfffffffe, status: 0 })
    expect(table.size).to.equal(0)
  })
})

describe('calls that wait', () => {
  it('come out whole and in order, however they came in', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 28, max: 500 }), { minLength: 1, maxLength: 20 }), fc.nat(97), (sizes, step) => {
        const waiting = new WaitingCalls()
        const calls = sizes.map((size, i) => pattern(size, i))
        sizes.forEach((size, serial) => waiting.add(1, 2, serial, 0, size))
        const bytes = Buffer.concat(calls)
        for (let at = 0; at < bytes.length; at += step + 1) waiting.append(bytes, at, Math.min(at + step + 1, bytes.length))
        for (const [serial, call] of calls.entries()) {
          expect(waiting.first).to.include({ serial, missing: 0 })
          expect(taken(waiting)).to.deep.equal(call)
        }
        expect(waiting.first).to.equal(undefined)
      }),
      { numRuns: 100 }
    )
  })

  it('come out in part when the rest has not come, and say how much is missing', () => {
    const waiting = new WaitingCalls()
    waiting.add(1, 2, 3, 0, 100)
    waiting.append(pattern(60), 0, 60)
    expect(waiting.first).to.include({ missing: 40 })
    expect(taken(waiting)).to.deep.equal(pattern(60))
  })

  it('are copied: the bytes that were handed over may change', () => {
    const waiting = new WaitingCalls()
    const bytes = pattern(50)
    waiting.add(1, 2, 3, 0, 50)
    waiting.append(bytes, 0, 50)
    bytes.fill(0)
    expect(taken(waiting)).to.deep.equal(pattern(50))
  })

  it('that wait for no hypervisor are known, the oldest first, once they have come whole', () => {
    const waiting = new WaitingCalls()
    const add = (proc: number, serial: number): void => waiting.add(PROGRAM.remote, proc, serial, 0, 28)
    add(REMOTE.domainGetXmlDesc, 1)
    waiting.append(pattern(28), 0, 28)
    expect(waiting.urgent).to.equal(undefined)
    add(REMOTE.connectGetLibVersion, 2)
    expect(waiting.urgent, 'one that has not come').to.equal(undefined)
    waiting.append(pattern(28), 0, 28)
    add(REMOTE.connectGetHostname, 3)
    waiting.append(pattern(28), 0, 28)
    for (const serial of [2, 3]) {
      expect(waiting.urgent).to.include({ serial })
      waiting.take(waiting.urgent!)
    }
    expect(waiting.urgent).to.equal(undefined)
    expect(waiting.size).to.equal(1)
  })

  it('are full at 256 calls or 256 KiB, and no longer when some have gone', () => {
    const many = new WaitingCalls()
    for (let i = 0; i < 256; i++) many.add(1, 2, i, 0, 28)
    expect(many.full).to.equal(true)
    many.take(many.first!)
    expect(many.full).to.equal(false)
    const large = new WaitingCalls()
    large.add(1, 2, 3, 0, 300_000)
    large.append(Buffer.alloc(262_144), 0, 262_144)
    expect(large.full).to.equal(true)
    large.take(large.first!)
    expect(large.full).to.equal(false)
  })

  it('are counted as what they cost: many small ones are more than their bytes', () => {
    const waiting = new WaitingCalls()
    const frames = Array.from({ length: 200 }, () => 1300)
    for (const [serial, length] of frames.entries()) {
      expect(waiting.full, `before call ${serial}`).to.equal(serial >= 169)
      waiting.add(1, 2, serial, 0, length)
      waiting.append(Buffer.alloc(length), 0, length)
    }
  })

  it('take about their size when they are dripped', () => {
    const before = process.memoryUsage()
    const all: WaitingCalls[] = []
    const byte = Buffer.alloc(1)
    for (let client = 0; client < 20; client++) {
      const waiting = new WaitingCalls()
      waiting.add(1, 2, 3, 0, 200_000)
      for (let i = 0; i < 200_000; i++) waiting.append(byte, 0, 1)
      all.push(waiting)
    }
    const after = process.memoryUsage()
    const grown = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed
    expect(all).to.have.length(20)
    expect(grown / (20 * 200_000), 'bytes of memory for each byte').to.be.below(4)
  })

  it('are given up with the descriptors that they hold', () => {
    const waiting = new WaitingCalls()
    waiting.add(1, 2, 3, 0, 28, [70, 71])
    waiting.add(1, 2, 4, 0, 28)
    const closed: number[] = []
    expect(waiting.takeAll(fd => closed.push(fd)).map(({ serial }) => serial)).to.deep.equal([3, 4])
    expect(closed).to.deep.equal([70, 71])
    expect(waiting.size).to.equal(0)
  })
})
