import { openSync } from 'node:fs'
import { expect } from 'chai'
import { ForeignCloser } from '#workers/os/foreign-close.js'
import { close, sendBytes } from '#workers/os/libc.js'
import { sendDescriptor } from '#workers/transport/descriptors.js'
import { PolledTransport } from '#workers/transport/polled.js'
import type { ThreadIo } from '#workers/transport/thread-io.js'
import { Cleanup } from '../support/cleanup.js'
import { isOpen } from '../support/process-state.js'
import { HangingFiles } from '../support/slow-descriptors.js'
import { threadIo } from '../support/thread-io.js'
import { unixPair } from '../support/unix-pair.js'
import { waitFor } from '../support/waiting.js'

const ALICE = 1
const BOB = 2
/** Threads that one sender may have. */
const THREADS = 16

/** What has come over one connection. */
class Heard {
  readonly session = { close: () => undefined }
  bytes = 0
  descriptors = 0
  lost: number | undefined
  readonly transport: PolledTransport

  constructor(
    readonly io: ThreadIo,
    readonly fd: number,
    /** The other end. */
    readonly peer: number,
    sender: number
  ) {
    this.transport = new PolledTransport(io, fd, { ...this.handler(), session: this.session }, { sender })
  }

  handler(): Omit<PolledTransport['handler'], 'session'> {
    return {
      received: (_, from, to) => void (this.bytes += to - from),
      receivedDescriptors: descriptors => {
        this.descriptors += descriptors.length
        for (const fd of descriptors) this.io.closer.close(fd)
      },
      drained: () => undefined,
      ended: () => void (this.lost = 0),
      lost: ({ errno }) => (this.lost = errno)
    }
  }

  send(text: string): void {
    sendBytes(this.peer, Buffer.from(text), text.length, 0)
  }

  sendDescriptor(): void {
    const fd = openSync('/dev/null', 'r')
    sendDescriptor(this.peer, fd)
    close(fd)
  }
}

describe('the connections of a sender whose descriptors wait to be closed', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  let io: ThreadIo
  let files: HangingFiles
  beforeEach(async () => {
    const shared = threadIo(cleanup)
    io = { ...shared, closer: new ForeignCloser(shared.ledger, 16) }
    files = await HangingFiles.mount(cleanup)
    for (let i = 0; i < THREADS + 4; i++) {
      const fd = files.open()
      io.closer.received([fd], ALICE)
      io.closer.close(fd)
    }
    await waitFor('as many as may to hang', () => files.closings === THREADS)
  })

  const connection = async (sender: number): Promise<Heard> => {
    const heard = new Heard(io, ...(await unixPair(cleanup)), sender)
    cleanup.defer(() => Promise.resolve(heard.transport.destroy()))
    return heard
  }

  it('are read up to the next descriptor, and from there when there is room', async () => {
    const [alice, bob] = [await connection(ALICE), await connection(BOB)]
    alice.send('some bytes')
    await waitFor('bytes alone', () => alice.bytes === 10)
    alice.sendDescriptor()
    alice.send('more')
    bob.sendDescriptor()
    await waitFor('the descriptor of another', () => bob.descriptors === 1)
    expect([alice.bytes, alice.descriptors]).to.deep.equal([10, 0])
    // In whatever order: not read, or read again.
    alice.transport.pause()
    alice.transport.resume()
    bob.send('a turn later')
    await waitFor('bytes of another', () => bob.bytes === 13)
    expect([alice.bytes, alice.descriptors]).to.deep.equal([10, 0])
    await files.release()
    await waitFor('the rest', () => alice.descriptors === 1 && alice.bytes === 15)
  })

  it('end as ever, and are closed when it is their turn', async () => {
    const [gone, destroyed] = [await connection(ALICE), await connection(ALICE)]
    gone.sendDescriptor()
    destroyed.sendDescriptor()
    close(gone.peer)
    await waitFor('the end', () => gone.lost !== undefined)
    destroyed.transport.destroy()
    expect([gone, destroyed].map(({ fd }) => isOpen(fd))).to.deep.equal([true, true])
    await files.release()
    await waitFor('both to be closed', () => ![gone, destroyed].some(({ fd }) => isOpen(fd)))
  })
})
