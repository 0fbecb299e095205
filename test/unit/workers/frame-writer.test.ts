import { expect } from 'chai'
import { DISPOSITION, FrameReader, type FrameSink } from '#protocol/frame-reader.js'
import { FrameWriter } from '#workers/framing/frame-writer.js'
import type { Transport } from '#workers/transport/transport.js'
import { frame } from '../../support/frame-socket.js'
import { pattern } from '../../support/pattern.js'

const own = frame({ proc: 99 })
const relayed = frame({ proc: 1 }, pattern(100))

/** An writer whose relayed frames come from a reader, and what has left it. */
function writer(): { out: FrameWriter; reader: FrameReader; sent: Buffer[]; ended: () => boolean } {
  const sent: Buffer[] = []
  let ended = false
  const transport = {
    send: (bytes: Buffer, from: number, to: number) => sent.push(Buffer.from(bytes.subarray(from, to))) > 0,
    end: () => (ended = true)
  } as unknown as Transport
  const out = new FrameWriter(transport)
  const sink: FrameSink = {
    head: () => DISPOSITION.pass,
    run: (bytes, from, to) => void out.relay(bytes, from, to),
    frame: () => undefined,
    illegal: () => undefined
  }
  const reader = new FrameReader(sink)
  out.relayFrom(reader)
  return { out, reader, sent, ended: () => ended }
}

describe('the way out to a peer', () => {
  it('lets the broker\'s frames out at once when nothing is being relayed', () => {
    const { out, sent } = writer()
    out.write(own)
    expect(sent).to.deep.equal([own])
  })

  it('keeps them back until the end of a frame that is being relayed, and no longer', () => {
    const { out, reader, sent } = writer()
    const stream = Buffer.concat([relayed, relayed, relayed])
    reader.push(stream, 0, 50)
    out.write(own)
    out.write(own)
    expect(sent).to.have.length(1)
    reader.push(stream, 50, 200)
    reader.push(stream, 200, stream.length)
    expect(Buffer.concat(sent)).to.deep.equal(Buffer.concat([relayed, own, own, relayed, relayed]))
  })

  it('ends when the frame that is being relayed has ended', () => {
    const { out, reader, sent, ended } = writer()
    reader.push(relayed, 0, 50)
    out.write(own)
    out.end()
    expect(ended()).to.equal(false)
    reader.push(relayed, 50, relayed.length)
    expect(ended()).to.equal(true)
    expect(Buffer.concat(sent)).to.deep.equal(Buffer.concat([relayed, own]))
  })

  it('lets out what waits when the rest of the frame will never come', () => {
    const { out, reader, sent, ended } = writer()
    reader.push(relayed, 0, 50)
    out.write(own)
    out.relayNoMore()
    expect(sent.at(-1)).to.deep.equal(own)
    out.end()
    expect(ended()).to.equal(true)
  })
})
