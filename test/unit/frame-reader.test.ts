import { expect } from 'chai'
import fc from 'fast-check'
import { FrameReader, TAKE, type FrameSink, type Take } from '#protocol/frame-reader.js'
import { frameProcedure, HEADER_BYTES, MAX_FRAME_BYTES } from '#protocol/header.js'
import { frame } from '../support/frame-socket.js'
import { hex } from '../support/hex.js'
import { pattern } from '../support/pattern.js'

/** Takes each frame the way that its procedure number says, and notes what comes. */
class Recorder implements FrameSink {
  readonly heads: number[] = []
  readonly frames: string[] = []
  readonly illegals: number[] = []
  /** Bytes of passed and of held frames. */
  readonly runs: Record<number, Buffer[]> = { [TAKE.pass]: [], [TAKE.hold]: [] }
  /** Length of each run, in order. */
  readonly runLengths: number[] = []

  head(bytes: Buffer, at: number): Take {
    const proc = frameProcedure(bytes, at)
    this.heads.push(proc)
    return (Math.abs(proc) % 4) as Take
  }

  run(bytes: Buffer, from: number, to: number, take: Take): void {
    this.runs[take]!.push(Buffer.from(bytes.subarray(from, to)))
    this.runLengths.push(to - from)
  }

  frame(bytes: Buffer, from: number, to: number): void {
    this.frames.push(bytes.toString('hex', from, to))
  }

  illegal(length: number): void {
    this.illegals.push(length)
  }

  get outcome(): unknown {
    const { heads, frames, illegals } = this
    const bytes = (take: number): string => Buffer.concat(this.runs[take]!).toString('hex')
    return { heads, frames, illegals, passed: bytes(TAKE.pass), held: bytes(TAKE.hold) }
  }
}

/** Gives a fresh reader the bytes, cut at these places. */
function read(bytes: Buffer, cuts: readonly number[] = []): Recorder {
  const recorder = new Recorder()
  const reader = new FrameReader(recorder)
  const places = [0, ...[...cuts].sort((a, b) => a - b), bytes.length]
  for (let i = 1; i < places.length; i++) {
    // As in a thread's shared buffer: the bytes are gone when the call has returned.
    const chunk = Buffer.from(bytes.subarray(places[i - 1], places[i]))
    reader.push(chunk, 0, chunk.length)
    chunk.fill(0xee)
  }
  return recorder
}

const frames = fc.array(
  fc.record({ proc: fc.nat(3), payload: fc.oneof(fc.nat(40), fc.constantFrom(0, 4068, 9000)) }),
  { minLength: 1, maxLength: 12 }
)
const encoded = (list: readonly { proc: number; payload: number }[]): Buffer =>
  Buffer.concat(list.map(({ proc, payload }, i) => frame({ proc, serial: i }, pattern(payload, i))))

describe('the frame reader', () => {
  it('gives the same frames however the bytes are cut', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 }), (list, cuts) => {
        const bytes = encoded(list)
        const places = cuts.map(cut => Math.floor(cut * bytes.length))
        expect(read(bytes, places).outcome).to.deep.equal(read(bytes).outcome)
      }),
      { numRuns: 300 }
    )
  })

  it('gives each frame whole, whatever becomes of its neighbours', () => {
    fc.assert(
      fc.property(frames, list => {
        const wanted = (take: Take): Buffer[] =>
          list.map((item, i) => (item.proc === take ? frame({ ...item, serial: i }, pattern(item.payload, i)) : hex('')))
        const got = read(encoded(list))
        expect(got.heads).to.deep.equal(list.map(({ proc }) => proc))
        expect(got.frames).to.deep.equal(wanted(TAKE.collect).filter(f => f.length > 0).map(f => f.toString('hex')))
        for (const take of [TAKE.pass, TAKE.hold]) {
          expect(Buffer.concat(got.runs[take]!).equals(Buffer.concat(wanted(take)))).to.equal(true)
        }
      }),
      { numRuns: 100 }
    )
  })

  it('gives the same frames byte by byte', () => {
    const bytes = encoded([0, 1, 2, 3, 2, 0].map((proc, i) => ({ proc, payload: 5 * i })))
    const cuts = Array.from({ length: bytes.length }, (_, i) => i)
    expect(read(bytes, cuts).outcome).to.deep.equal(read(bytes).outcome)
  })

  it('never throws at garbage', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), chunks => {
        const recorder = new Recorder()
        const reader = new FrameReader(recorder)
        for (const chunk of chunks) reader.push(Buffer.from(chunk), 0, chunk.length)
        expect(recorder.illegals.length).to.be.at.most(1)
      }),
      { numRuns: 500 }
    )
  })

  for (const length of [0, 27, MAX_FRAME_BYTES + 1, 0xffffffff]) {
    it(`judges a length of ${length} as soon as its four bytes are there, and takes nothing more`, () => {
      const recorder = new Recorder()
      const reader = new FrameReader(recorder)
      const word = Buffer.alloc(4)
      word.writeUInt32BE(length)
      reader.push(word, 0, 3)
      expect(recorder.illegals).to.be.empty
      reader.push(word, 3, 4)
      expect(recorder.illegals).to.deep.equal([length])
      reader.push(frame({ proc: 2 }), 0, HEADER_BYTES)
      expect(recorder.heads).to.be.empty
    })
  }

  it('passes on what came before a length that cannot be', () => {
    const good = frame({ proc: TAKE.pass }, pattern(10))
    const { passed, illegals } = read(Buffer.concat([good, hex('00000001'), Buffer.alloc(40)])).outcome as {
      passed: string
      illegals: number[]
    }
    expect(passed).to.equal(good.toString('hex'))
    expect(illegals).to.deep.equal([1])
  })

  it('keeps a collected frame in memory that grows with what has come, not with what was announced', () => {
    const readers = Array.from({ length: 500 }, () => new FrameReader(new Recorder()))
    const start = frame({ proc: TAKE.collect }, Buffer.alloc(100))
    start.writeUInt32BE(MAX_FRAME_BYTES)
    const before = process.memoryUsage()
    for (const reader of readers) reader.push(start, 0, start.length)
    const after = process.memoryUsage()
    const grown = after.arrayBuffers + after.external - before.arrayBuffers - before.external
    // 500 announced frames would be 16 GB.
    expect(grown).to.be.below(50_000_000)
  })

  it('knows when a passed frame is not through', () => {
    const reader = new FrameReader(new Recorder())
    const bytes = frame({ proc: TAKE.pass }, pattern(100))
    reader.push(bytes, 0, 60)
    expect({ inside: reader.inPassedFrame, missing: reader.missing }).to.deep.equal({ inside: true, missing: 68 })
    reader.push(bytes, 60, bytes.length)
    expect({ inside: reader.inPassedFrame, missing: reader.missing }).to.deep.equal({ inside: false, missing: 0 })
  })

  it('can be told to hand over the end of a passed frame before the next one', () => {
    const recorder = new Recorder()
    const reader = new FrameReader(recorder)
    const bytes = Buffer.concat([1, 2, 3].map(() => frame({ proc: TAKE.pass }, pattern(100))))
    reader.push(bytes, 0, 50)
    reader.cutAtFrameEnd()
    reader.push(bytes, 50, bytes.length)
    expect(recorder.runLengths).to.deep.equal([50, 78, 256])
  })

  it('drops the rest of a frame that is not to be passed any more', () => {
    const recorder = new Recorder()
    const reader = new FrameReader(recorder)
    const bytes = Buffer.concat([frame({ proc: TAKE.pass }, pattern(100)), frame({ proc: TAKE.collect })])
    reader.push(bytes, 0, 60)
    reader.divert(TAKE.skip)
    reader.push(bytes, 60, bytes.length)
    expect(recorder.runLengths).to.deep.equal([60])
    expect(recorder.frames).to.have.length(1)
  })

  it('counts bytes behind a collected frame that belong to no frame', () => {
    let reader: FrameReader | undefined = undefined
    const tails: number[] = []
    const recorder = new (class extends Recorder {
      override frame(bytes: Buffer, from: number, to: number): void {
        super.frame(bytes, from, to)
        reader!.expectTail(3)
      }
      tail(count: number): void {
        tails.push(count)
      }
    })()
    reader = new FrameReader(recorder)
    const bytes = Buffer.concat([frame({ proc: TAKE.collect }), hex('000000'), frame({ proc: TAKE.pass })])
    reader.push(bytes, 0, HEADER_BYTES + 1)
    reader.push(bytes, HEADER_BYTES + 1, bytes.length)
    expect(tails).to.deep.equal([1, 2])
    expect(recorder.heads).to.deep.equal([TAKE.collect, TAKE.pass])
  })
})
