import { expect } from 'chai'
import type { SaslCodec } from '#workers/sasl/codec.js'
import { SaslLayer } from '#workers/sasl/sasl-layer.js'
import type { Transport, TransportHandler } from '#workers/transport/transport.js'
import { frame } from '../support/frame-socket.js'

/** Blocks with a length in front, every byte turned over: like a real mechanism's, and as easily told from clear text. */
class ToyCodec {
  readonly maxInput = 10
  #rest = Buffer.alloc(0)
  broken = false

  encode(bytes: Buffer, from: number, to: number): Buffer {
    if (this.broken) throw new Error('toy broken')
    expect(to - from).to.be.at.most(this.maxInput)
    const block = Buffer.alloc(4 + to - from)
    block.writeUInt32BE(to - from)
    for (let i = from; i < to; i++) block[4 + i - from] = bytes[i]! ^ 0xff
    return block
  }

  decode(bytes: Buffer, from: number, to: number): Buffer {
    if (this.broken) throw new Error('toy broken')
    this.#rest = Buffer.concat([this.#rest, bytes.subarray(from, to)])
    const clear: Buffer[] = []
    while (this.#rest.length >= 4 && this.#rest.length >= 4 + this.#rest.readUInt32BE(0)) {
      const length = this.#rest.readUInt32BE(0)
      clear.push(Buffer.from(this.#rest.subarray(4, 4 + length).map(byte => byte ^ 0xff)))
      this.#rest = this.#rest.subarray(4 + length)
    }
    return Buffer.concat(clear)
  }
}

/** Wraps like a client that has read `maxInput`. */
function wrap(bytes: Buffer): Buffer {
  const codec = new ToyCodec()
  const blocks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 10) blocks.push(codec.encode(bytes, at, Math.min(at + 10, bytes.length)))
  return Buffer.concat(blocks)
}

/** A layer between a wire and a handler that both note what reaches them. */
class Bench {
  readonly codec = new ToyCodec()
  readonly sent: Buffer[] = []
  readonly got: Buffer[] = []
  readonly closed: string[] = []
  readonly failures: unknown[] = []
  reading = true
  /** What the handler does with a chunk besides noting it. */
  act: (chunk: Buffer) => void = () => undefined
  readonly layer: SaslLayer
  readonly #wire = {
    pending: 0,
    closed: false,
    sender: undefined,
    send: (bytes: Buffer, from: number, to: number) => {
      this.sent.push(Buffer.from(bytes.subarray(from, to)))
      return true
    },
    pause: () => (this.reading = false),
    resume: () => (this.reading = true),
    end: () => undefined,
    destroy: () => (this.#wire.closed = true)
  }

  constructor() {
    const handler = {
      session: { close: (why: string) => this.close(why) },
      received: (bytes: Buffer, from: number, to: number) => {
        const chunk = Buffer.from(bytes.subarray(from, to))
        this.got.push(chunk)
        this.act(chunk)
      }
    } as unknown as TransportHandler
    this.layer = new SaslLayer(() => this.#wire as unknown as Transport, handler, error => this.failures.push(error))
  }

  close(why: string): void {
    this.closed.push(why)
    this.layer.destroy()
  }

  /** The layer gets bytes off the wire, in a buffer that is used again at once. */
  arrive(bytes: Buffer): void {
    const shared = Buffer.concat([Buffer.alloc(3), bytes])
    this.layer.received(shared, 3, shared.length)
    shared.fill(0xee)
  }

  secure(): void {
    this.layer.secure(this.codec as unknown as SaslCodec)
  }

  get received(): Buffer {
    return Buffer.concat(this.got)
  }
}

const first = frame({ proc: 67, serial: 1 })
const last = frame({ proc: 69, serial: 2 }, Buffer.from('the last step'))
const after = Buffer.concat([frame({ proc: 1, serial: 3 }, Buffer.alloc(50, 1)), frame({ proc: 2, serial: 4 })])

describe('a connection on which SASL encryption may begin', () => {
  it('carries bytes as they are until then, in frames', () => {
    const bench = new Bench()
    bench.arrive(Buffer.concat([first, last, first.subarray(0, 10)]))
    bench.arrive(first.subarray(10))
    expect(bench.got.map(({ length }) => length)).to.deep.equal([first.length, last.length, 10, first.length - 10])
    bench.layer.send(after, 0, after.length)
    expect(Buffer.concat(bench.sent)).to.deep.equal(after)
  })

  it('reads on encrypted behind the frame that was the last in the clear, wherever the pieces are cut', () => {
    const wire = Buffer.concat([first, last, wrap(after)])
    for (let cut = 1; cut < wire.length; cut++) {
      const bench = new Bench()
      bench.act = () => {
        // The verdict on the login comes later, while the bytes behind it are here already.
        if (bench.received.length === first.length + last.length) bench.layer.hold()
      }
      bench.arrive(wire.subarray(0, cut))
      if (bench.reading) bench.arrive(wire.subarray(cut))
      expect(bench.received, `cut at ${cut}`).to.deep.equal(Buffer.concat([first, last]))
      expect(bench.reading).to.equal(false)
      bench.secure()
      expect(bench.reading).to.equal(true)
      if (cut >= first.length + last.length) bench.arrive(wire.subarray(cut))
      expect(bench.received, `cut at ${cut}`).to.deep.equal(Buffer.concat([first, last, after]))
      expect(bench.failures).to.be.empty
    }
  })

  it('goes on in the clear when the login fails', () => {
    const bench = new Bench()
    bench.act = () => {
      if (bench.got.length === 1) bench.layer.hold()
    }
    bench.arrive(Buffer.concat([first, last]))
    bench.layer.release()
    expect(bench.received).to.deep.equal(Buffer.concat([first, last]))
    expect(bench.reading).to.equal(true)
  })

  it('may be held again by what was held back', () => {
    const bench = new Bench()
    bench.act = () => bench.layer.hold()
    bench.arrive(Buffer.concat([first, last, wrap(after)]))
    bench.layer.release()
    expect(bench.received).to.deep.equal(Buffer.concat([first, last]))
    expect(bench.reading).to.equal(false)
    bench.act = () => undefined
    bench.secure()
    expect(bench.received).to.deep.equal(Buffer.concat([first, last, after]))
  })

  it('sends everything wrapped from then on, in blocks that the mechanism can take', () => {
    const bench = new Bench()
    bench.layer.send(last, 0, last.length)
    bench.secure()
    bench.layer.send(Buffer.concat([first, after]), first.length, first.length + after.length)
    expect(Buffer.concat(bench.sent)).to.deep.equal(Buffer.concat([last, wrap(after)]))
  })

  it('stays paused while its owner wants that, held or not', () => {
    const bench = new Bench()
    bench.layer.pause()
    bench.layer.hold()
    bench.layer.release()
    expect(bench.reading).to.equal(false)
    bench.layer.hold()
    bench.layer.resume()
    expect(bench.reading).to.equal(false)
    bench.layer.release()
    expect(bench.reading).to.equal(true)
  })

  it('closes the client when bytes cannot be unwrapped', () => {
    const bench = new Bench()
    bench.secure()
    bench.codec.broken = true
    bench.arrive(after)
    expect(bench.closed).to.deep.equal(['toy broken'])
    expect(bench.got).to.be.empty
  })

  it('closes the client when bytes cannot be wrapped, though not from within the send', async () => {
    const bench = new Bench()
    bench.secure()
    bench.codec.broken = true
    expect(bench.layer.send(after, 0, after.length)).to.equal(true)
    expect(bench.closed).to.be.empty
    await new Promise(setImmediate)
    expect(bench.closed).to.deep.equal(['toy broken'])
  })

  it('gives nothing more to an owner who has closed it half-way through a chunk', () => {
    const bench = new Bench()
    bench.act = () => bench.close('enough')
    bench.arrive(Buffer.concat([first, last]))
    expect(bench.received).to.deep.equal(first)
  })

  it('tells an exception of its owner when it was not the wire that brought the bytes', () => {
    const bench = new Bench()
    bench.act = () => bench.layer.hold()
    bench.arrive(Buffer.concat([first, last]))
    bench.act = () => {
      throw new Error('owner failed')
    }
    bench.layer.release()
    expect(bench.failures.map(String)).to.deep.equal(['Error: owner failed'])
  })
})
