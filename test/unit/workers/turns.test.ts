import { expect } from 'chai'
import { DISPOSITION, type Disposition } from '#protocol/frame-reader.js'
import { frameSerial, HEADER_BYTES } from '#protocol/header.js'
import { FrameInput, type FrameInputOwner } from '#workers/framing/frame-input.js'
import type { Transport } from '#workers/transport/transport.js'
import { Turns } from '#workers/thread/turns.js'
import { UnopenedMemory } from '#workers/thread/unopened-memory.js'
import { frame } from '../../support/frame-socket.js'
import { waitFor } from '../../support/waiting.js'

const raise = (_: unknown, error: unknown): void => {
  throw error
}

/** A peer whose frames all cost something, and the transport that it would be read from. */
class Peer implements FrameInputOwner {
  readonly session = { close: (): void => undefined }
  readonly serials: number[] = []
  /** How many frames were judged in one go. */
  readonly goes: number[] = []
  paused = false
  take: Disposition = DISPOSITION.skip
  cost: 'each' | 'none' = 'each'
  readonly input: FrameInput
  #judged = 0

  constructor(turns: Turns) {
    const transport = { pause: () => (this.paused = true), resume: () => (this.paused = false) }
    this.input = new FrameInput(this, transport as unknown as Transport, turns)
  }

  /** All of it at once, as from one read. */
  receive(count: number, payload?: Uint8Array): void {
    const frames = Array.from({ length: count }, (_, serial) => frame({ proc: 1, serial }, payload))
    const bytes = Buffer.concat([Buffer.alloc(HEADER_BYTES), ...frames])
    this.input.received(bytes, HEADER_BYTES, bytes.length)
    bytes.fill(0xee)
  }

  head(bytes: Buffer, at: number): Disposition {
    this.serials.push(frameSerial(bytes, at))
    if (this.cost === 'each') this.input.spend()
    return this.take
  }
  run(): void {}
  frame(): void {}
  illegal(): void {}
  inputEnded(): void {}
  judged(): void {
    this.goes.push(this.serials.length - this.#judged)
    this.#judged = this.serials.length
  }
}

describe('what one peer may cause in a turn of the loop', () => {
  it('is a few dozen frames, and the rest comes later, in order, before anything else is read', async () => {
    const peer = new Peer(new Turns(raise))
    peer.receive(9362)
    expect(peer.serials).to.have.length(64)
    expect(peer.paused).to.equal(true)
    await waitFor('the rest', () => peer.serials.length === 9362)
    expect(Math.max(...peer.goes)).to.be.at.most(64)
    expect(peer.serials).to.deep.equal(Array.from({ length: 9362 }, (_, serial) => serial))
    await waitFor('to be read again', () => !peer.paused)
  })

  it('does not grow when one read is delivered in parts', () => {
    const peer = new Peer(new Turns(raise))
    for (let i = 0; i < 200; i++) peer.receive(1)
    expect(peer.serials).to.have.length(64)
  })

  it('is what it was at the next poll for events, and nothing is scheduled for that', () => {
    const turns = new Turns(raise)
    const peer = new Peer(turns)
    for (let poll = 1; poll <= 100; poll++) {
      turns.polled()
      peer.receive(64)
      expect(peer.serials).to.have.length(64 * poll)
      expect(peer.paused).to.equal(false)
    }
  })

  it('is shared by the next poll for events and what is left over, for as long as there is any', async () => {
    const turns = new Turns(raise)
    const left = new Peer(turns)
    const peers = Array.from({ length: 20 }, () => new Peer(turns))
    turns.polled()
    left.receive(100)
    await new Promise(resolve => setImmediate(resolve))
    expect(left.serials).to.have.length(100)
    turns.polled()
    for (const peer of peers) peer.receive(64)
    expect(peers.reduce((sum, peer) => sum + peer.serials.length, 36)).to.be.within(512, 512 + 20)
    left.receive(100)
    expect(left.serials, 'of the same turn: its share is 64').to.have.length(128)
  })

  it('is not bounded for frames that are only passed on, up to a thousand', () => {
    const peer = new Peer(new Turns(raise))
    peer.take = DISPOSITION.pass
    peer.cost = 'none'
    peer.receive(1000)
    expect(peer.serials).to.have.length(1000)
    expect(peer.paused).to.equal(false)
  })

  it('is less for each when there are many of them, but never nothing', async () => {
    const turns = new Turns(raise)
    const peers = Array.from({ length: 100 }, () => new Peer(turns))
    for (const peer of peers) peer.receive(300)
    const judged = (): number => peers.reduce((sum, peer) => sum + peer.serials.length, 0)
    expect(judged()).to.be.below(512 + 64 + 100)
    for (const peer of peers) expect(peer.serials.length).to.be.at.least(1)
    let before = judged()
    await new Promise(resolve => setImmediate(resolve))
    expect(judged() - before, 'frames in the next turn').to.be.within(1, 512 + 64)
    before = judged()
    await waitFor('all of them', () => judged() === 30_000)
  })

  it('ends at once when its owner wants no more, and goes on when it does', async () => {
    const turns = new Turns(raise)
    const peer = new Peer(turns)
    peer.head = (bytes, at) => {
      peer.serials.push(frameSerial(bytes, at))
      if (peer.serials.length === 5) peer.input.hold()
      return DISPOSITION.skip
    }
    peer.receive(20)
    expect(peer.serials).to.have.length(5)
    await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
    expect(peer.serials).to.have.length(5)
    peer.input.release()
    await waitFor('the rest', () => peer.serials.length === 20 && !peer.paused)
  })

  it('is nothing any more when the peer was closed', async () => {
    const peer = new Peer(new Turns(raise))
    peer.receive(200)
    peer.input.stop()
    await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
    expect(peer.serials).to.have.length(64)
    expect(peer.input.keptBytes).to.equal(0)
  })

  it('costs that peer alone if it fails', async () => {
    const failed: unknown[] = []
    const turns = new Turns(session => failed.push(session))
    const [bad, good] = [new Peer(turns), new Peer(turns)]
    for (const peer of [bad, good]) peer.receive(100)
    bad.judged = () => {
      throw new Error('by accident')
    }
    await waitFor('the other', () => good.serials.length === 100)
    expect(failed).to.deep.equal([bad.session])
  })
})

describe('memory of clients that have opened nothing', () => {
  it('is bounded for all of them together, and whoever has most is closed', () => {
    const memory = new UnopenedMemory(1000)
    const closed: string[] = []
    const holder = (name: string) => ({ close: () => void closed.push(name) })
    const [small, large, late] = [holder('small'), holder('large'), holder('late')]
    memory.note(small, 100)
    memory.note(large, 700)
    memory.note(large, 800)
    expect(closed).to.be.empty
    memory.note(late, 300)
    expect(closed).to.deep.equal(['large'])
    expect(memory.total).to.equal(400)
    for (const gone of [small, large, late]) memory.note(gone, 0)
    expect(memory.total).to.equal(0)
  })
})
