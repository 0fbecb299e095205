import { expect } from 'chai'
import fc from 'fast-check'
import { DISPOSITION, FrameReader, type Disposition, type FrameSink } from '#protocol/frame-reader.js'
import { frameLength, frameProcedure, frameSerial, HEADER_BYTES, MAX_FRAME_BYTES } from '#protocol/header.js'
import { giveBack, takeLarge } from '#protocol/spare-buffers.js'
import { frame } from '../support/frame-socket.js'
import { hex } from '../support/hex.js'
import { pattern } from '../support/pattern.js'

const WAYS = Object.keys(DISPOSITION).length

/** Takes each frame the way that its procedure number says, and notes what comes. */
class Recorder implements FrameSink {
  readonly heads: number[] = []
  /** Whether all of a frame was there when its header was. */
  readonly wholes: boolean[] = []
  readonly frames: string[] = []
  readonly illegals: number[] = []
  /** Bytes of passed, held and split frames. */
  readonly runs: Record<number, Buffer[]> = { [DISPOSITION.pass]: [], [DISPOSITION.hold]: [], [DISPOSITION.split]: [] }
  /** Length of each run, in order. */
  readonly runLengths: number[] = []

  head(bytes: Buffer, at: number, whole: boolean): Disposition {
    const proc = frameProcedure(bytes, at)
    this.heads.push(proc)
    this.wholes.push(whole)
    return (Math.abs(proc) % WAYS) as Disposition
  }

  run(bytes: Buffer, from: number, to: number, take: Disposition): void {
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
    const split = joined(this.runs[DISPOSITION.split]!)
    return { heads, frames, illegals, passed: bytes(DISPOSITION.pass), held: bytes(DISPOSITION.hold), split }
  }
}

interface Piece {
  /** All words but the length. */
  header: string
  payload: string
}

/** The frames in each run of split ones; throws unless each run ends with the end of a frame. */
function pieces(runs: readonly Buffer[]): Piece[] {
  const found: Piece[] = []
  for (const run of runs) {
    for (let at = 0; at < run.length; at += frameLength(run, at)) {
      const end = at + frameLength(run, at)
      if (end < at + HEADER_BYTES || end > run.length) throw new Error(`a run of ${run.length} bytes goes to ${end}`)
      found.push({ header: run.toString('hex', at + 4, at + HEADER_BYTES), payload: run.toString('hex', at + HEADER_BYTES, end) })
    }
  }
  return found
}

/** The payloads of pieces with one header (each frame here has its own serial), put together again. */
function joined(runs: readonly Buffer[]): Piece[] {
  const whole: Piece[] = []
  for (const piece of pieces(runs)) {
    const last = whole.at(-1)
    if (last?.header !== piece.header) whole.push({ ...piece })
    else if (piece.payload === '' || last.payload === '') throw new Error('a piece without payload')
    else last.payload += piece.payload
  }
  return whole
}

/** Gives a fresh reader the bytes, cut at these places. */
function read(bytes: Buffer, cuts: readonly number[] = []): Recorder {
  const recorder = new Recorder()
  const reader = new FrameReader(recorder)
  const places = [0, ...[...cuts].sort((a, b) => a - b), bytes.length]
  for (let i = 1; i < places.length; i++) push(reader, bytes.subarray(places[i - 1], places[i]))
  return recorder
}

/** As in a thread's shared buffer: room before the bytes, which are gone when the call has returned. */
function push(reader: FrameReader, bytes: Uint8Array): void {
  const chunk = Buffer.concat([Buffer.alloc(HEADER_BYTES), bytes])
  reader.push(chunk, HEADER_BYTES, chunk.length)
  chunk.fill(0xee)
}

const frames = fc.array(
  fc.record({ proc: fc.nat(WAYS - 1), payload: fc.oneof(fc.nat(40), fc.constantFrom(0, 4068, 9000)) }),
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
        const wanted = (take: Disposition): Buffer[] =>
          list.map((item, i) => (item.proc === take ? frame({ ...item, serial: i }, pattern(item.payload, i)) : hex('')))
        const got = read(encoded(list))
        expect(got.heads).to.deep.equal(list.map(({ proc }) => proc))
        expect(got.frames).to.deep.equal(wanted(DISPOSITION.collect).filter(f => f.length > 0).map(f => f.toString('hex')))
        for (const take of [DISPOSITION.pass, DISPOSITION.hold, DISPOSITION.split]) {
          expect(Buffer.concat(got.runs[take]!).equals(Buffer.concat(wanted(take)))).to.equal(true)
        }
      }),
      { numRuns: 100 }
    )
  })

  it('gives the same frames byte by byte', () => {
    const bytes = encoded([0, 1, 2, 3, 4, 2, 2, 3, 0].map((proc, i) => ({ proc, payload: 5 * i })))
    const cuts = Array.from({ length: bytes.length }, (_, i) => i)
    expect(read(bytes, cuts).outcome).to.deep.equal(read(bytes).outcome)
  })

  it('gives the same frames however often it yields', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }), (list, yields) => {
        const bytes = encoded(list)
        const recorder = new Recorder()
        const reader = new FrameReader({
          head: (chunk, at, whole) => {
            if (yields[recorder.heads.length % yields.length]) reader.yield()
            return recorder.head(chunk, at, whole)
          },
          run: (...run) => recorder.run(...run),
          frame: (...found) => recorder.frame(found[0], found[1], found[2]),
          illegal: length => recorder.illegal(length)
        })
        const chunk = Buffer.concat([Buffer.alloc(HEADER_BYTES), bytes])
        let at = HEADER_BYTES
        for (let rounds = 0; at < chunk.length; rounds++) {
          expect(rounds).to.be.at.most(list.length)
          at = reader.push(chunk, at, chunk.length)
        }
        expect(recorder.outcome).to.deep.equal(read(bytes).outcome)
      }),
      { numRuns: 200 }
    )
  })

  it('judges no more than a thousand frames or so of one chunk', () => {
    const recorder = new Recorder()
    const reader = new FrameReader(recorder)
    const bytes = Buffer.concat(Array.from({ length: 9000 }, (_, serial) => frame({ proc: DISPOSITION.skip, serial })))
    expect(reader.push(bytes, 0, bytes.length)).to.equal(1024 * HEADER_BYTES)
    expect(recorder.heads).to.have.length(1024)
  })

  it('never throws at garbage', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), chunks => {
        const recorder = new Recorder()
        const reader = new FrameReader(recorder)
        for (const chunk of chunks) push(reader, chunk)
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
      reader.push(frame({ proc: DISPOSITION.collect }), 0, HEADER_BYTES)
      expect(recorder.heads).to.be.empty
    })
  }

  it('passes on what came before a length that cannot be', () => {
    const good = frame({ proc: DISPOSITION.pass }, pattern(10))
    const { passed, illegals } = read(Buffer.concat([good, hex('00000001'), Buffer.alloc(40)])).outcome as {
      passed: string
      illegals: number[]
    }
    expect(passed).to.equal(good.toString('hex'))
    expect(illegals).to.deep.equal([1])
  })

  it('keeps a collected frame in memory that grows with what has come, not with what was announced', () => {
    const readers = Array.from({ length: 500 }, () => new FrameReader(new Recorder()))
    const start = frame({ proc: DISPOSITION.collect }, Buffer.alloc(100))
    start.writeUInt32BE(MAX_FRAME_BYTES)
    const before = process.memoryUsage()
    for (const reader of readers) reader.push(start, 0, start.length)
    const after = process.memoryUsage()
    const grown = after.arrayBuffers + after.external - before.arrayBuffers - before.external
    // 500 announced frames would be 16 GB.
    expect(grown).to.be.below(50_000_000)
  })

  it('gives large frames that come in pieces whole, with many readers at it, and uses their memory again', () => {
    const readers = Array.from({ length: 7 }, () => {
      const recorder = new Recorder()
      return { recorder, reader: new FrameReader(recorder) }
    })
    const large = (seed: number): Buffer => frame({ proc: DISPOSITION.collect }, pattern(300_000 + 100_000 * seed, seed))
    for (const round of [0, 1, 2]) {
      for (let at = 0; at < 1_000_000; at += 50_000) {
        for (const [index, { reader }] of readers.entries()) {
          const bytes = large((index + round) % 7)
          if (at < bytes.length) reader.push(bytes, at, Math.min(bytes.length, at + 50_000))
        }
      }
    }
    for (const [index, { recorder }] of readers.entries()) {
      const wanted = [0, 1, 2].map(round => large((index + round) % 7).toString('hex'))
      expect(recorder.frames.every((got, round) => got === wanted[round]) && recorder.frames.length === 3).to.equal(true)
    }
    const [one, other] = [takeLarge(), takeLarge()]
    expect(one).to.not.equal(other)
    giveBack(one)
    expect(takeLarge()).to.equal(one)
  })

  it('knows when a passed frame is not through', () => {
    const reader = new FrameReader(new Recorder())
    const bytes = frame({ proc: DISPOSITION.pass }, pattern(100))
    reader.push(bytes, 0, 60)
    expect(reader.inPassedFrame).to.equal(true)
    reader.push(bytes, 60, bytes.length)
    expect(reader.inPassedFrame).to.equal(false)
  })

  it('makes whole frames of what has come of a frame that is split, so that nothing has to wait for its end', () => {
    const recorder = new Recorder()
    const reader = new FrameReader(recorder)
    const bytes = frame({ proc: DISPOSITION.split, serial: 7 }, pattern(100))
    const sizes: [number, number][] = [[0, 10], [10, HEADER_BYTES], [HEADER_BYTES, 60], [60, 61], [61, bytes.length]]
    for (const [from, to] of sizes) {
      push(reader, bytes.subarray(from, to))
      expect(reader.inPassedFrame).to.equal(false)
    }
    expect(pieces(recorder.runs[DISPOSITION.split]!).map(({ payload }) => payload.length / 2)).to.deep.equal([32, 1, 67])
    expect(joined(recorder.runs[DISPOSITION.split]!)).to.deep.equal(pieces([bytes]))
  })

  it('hands the pieces of split frames that one chunk has over in one run', () => {
    const bytes = encoded(Array.from({ length: 5 }, () => ({ proc: DISPOSITION.split, payload: 100 })))
    expect(read(bytes, [300]).runLengths).to.deep.equal([300, bytes.length - 300 + HEADER_BYTES])
    // Of the third frame only the header has come: a piece without payload would be the end of the data.
    expect(read(bytes, [2 * 128 + HEADER_BYTES]).runLengths).to.deep.equal([256, bytes.length - 256])
  })

  it('tells whether all of a frame has come already', () => {
    // Each has 128 bytes. What the cuts leave of them: all, all behind a cut header, a part, a header and a part, a part
    // behind a cut header.
    const { hold, collect, pass, skip } = DISPOSITION
    const bytes = encoded([hold, collect, pass, collect, skip].map(proc => ({ proc, payload: 100 })))
    expect(read(bytes, [128, 150, 300, 384 + HEADER_BYTES, 530, 545]).wholes).to.deep.equal([true, true, false, false, false])
  })

  it('can be told to hand over the end of a passed frame before the next one', () => {
    const recorder = new Recorder()
    const reader = new FrameReader(recorder)
    const bytes = Buffer.concat([1, 2, 3].map(() => frame({ proc: DISPOSITION.pass }, pattern(100))))
    reader.push(bytes, 0, 50)
    reader.cutAtFrameEnd()
    reader.push(bytes, 50, bytes.length)
    expect(recorder.runLengths).to.deep.equal([50, 78, 256])
  })

  it('drops the rest of a frame that is not to be passed any more', () => {
    const recorder = new Recorder()
    const reader = new FrameReader(recorder)
    const bytes = Buffer.concat([frame({ proc: DISPOSITION.pass }, pattern(100)), frame({ proc: DISPOSITION.collect })])
    reader.push(bytes, 0, 60)
    reader.divert(DISPOSITION.skip)
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
    const bytes = Buffer.concat([frame({ proc: DISPOSITION.collect }), hex('000000'), frame({ proc: DISPOSITION.pass })])
    reader.push(bytes, 0, HEADER_BYTES + 1)
    reader.push(bytes, HEADER_BYTES + 1, bytes.length)
    expect(tails).to.deep.equal([1, 2])
    expect(recorder.heads).to.deep.equal([DISPOSITION.collect, DISPOSITION.pass])
  })

  it('hands back with a collected frame what was noted of it, in whatever pieces it comes', () => {
    const bytes = Buffer.concat([1, 2, 3].map(serial => frame({ proc: DISPOSITION.collect, serial }, pattern(50))))
    for (const size of [1, 27, 28, 40, 78, 100, bytes.length]) {
      const notes: number[] = []
      const reader: FrameReader = new FrameReader({
        head: (header, at) => {
          reader.note(100 + frameSerial(header, at))
          return DISPOSITION.collect
        },
        run: () => undefined,
        frame: (_bytes, _from, _to, note) => notes.push(note),
        illegal: () => undefined
      })
      for (let at = 0; at < bytes.length; at += size) reader.push(bytes, at, Math.min(bytes.length, at + size))
      expect(notes, `pieces of ${size}`).to.deep.equal([101, 102, 103])
    }
  })
})
