import { openSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { FdLedger } from '#workers/os/fd-ledger.js'
import { ForeignCloser } from '#workers/os/foreign-close.js'
import { close, makePipe } from '#workers/os/libc.js'
import { sendDescriptor } from '#workers/transport/descriptors.js'
import { Cleanup } from '../../support/cleanup.js'
import { isOpen, openDescriptors, threadCount } from '../../support/process-state.js'
import { HangingFiles, LINGER_S, lingeringSocket } from '../../support/slow-descriptors.js'
import { unixPair } from '../../support/unix-pair.js'
import { waitFor } from '../../support/waiting.js'

const ALICE = 1
const BOB = 2
const OWNER = 5
/** Threads that one sender may have. */
const THREADS = 16

describe('a closer of foreign descriptors', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  let ledger: FdLedger
  let closer: ForeignCloser
  let threads: number
  // Node starts the threads of its pool with the first use of it.
  before(() => stat('/'))
  beforeEach(() => {
    ledger = new FdLedger()
    closer = new ForeignCloser(ledger, 64)
    threads = threadCount(process.pid)
  })

  const received = (fd: number, sender: number): number => {
    ledger.adoptForeign(fd, OWNER)
    closer.received([fd], sender)
    return fd
  }
  const untilClosed = (fds: readonly number[]): Promise<boolean> =>
    waitFor('descriptors to be closed', () => !fds.some(isOpen))
  const untilThreadsEnded = (): Promise<boolean> =>
    waitFor('native threads to end', () => threadCount(process.pid) <= threads)

  it('closes at once what cannot block, and soon what else there is', async () => {
    const device = received(openSync('/dev/null', 'r'), ALICE)
    closer.close(device)
    expect(isOpen(device)).to.equal(false)
    const pipes = Array.from({ length: 100 }, () => makePipe()).flat()
    for (const fd of pipes) closer.close(received(fd, ALICE))
    await untilClosed(pipes)
    await untilThreadsEnded()
    expect(ledger.takeAdopted(OWNER)).to.deep.equal([])
  })

  it('is not held up by a socket that lingers, and neither is anybody for long', async () => {
    const started = performance.now()
    const sockets = Array.from({ length: 3 * THREADS }, () => received(lingeringSocket(cleanup), ALICE))
    for (const fd of sockets) closer.close(fd)
    await untilClosed(sockets)
    await untilThreadsEnded()
    expect(performance.now() - started).to.be.below(1000 * LINGER_S)
  })

  it('closes sockets of ours at once, but those in which something lies elsewhere, and together with it', async () => {
    const [empty, emptyPeer] = await unixPair(cleanup)
    closer.closeSocket(empty)
    expect(isOpen(empty)).to.equal(false)
    const [full, fullPeer] = await unixPair(cleanup)
    const lingering = lingeringSocket(cleanup)
    expect(sendDescriptor(fullPeer, lingering)).to.equal(1)
    close(lingering)
    closer.closeSocket(full)
    await untilClosed([full])
    await untilThreadsEnded()
    for (const fd of [emptyPeer, fullPeer]) close(fd)
  })

  describe('with a sender whose descriptors are never closed', () => {
    let files: HangingFiles
    beforeEach(async () => (files = await HangingFiles.mount(cleanup)))

    const hang = async (count: number): Promise<number[]> => {
      const fds = Array.from({ length: count }, () => received(files.open(), ALICE))
      for (const fd of fds) closer.close(fd)
      await waitFor('as many as may to hang', () => files.closings === Math.min(count, THREADS))
      return fds
    }

    it('goes on with those of others', async () => {
      await hang(THREADS + 10)
      const [readEnd, writeEnd] = makePipe()
      for (const fd of [readEnd, writeEnd]) closer.close(received(fd, BOB))
      await untilClosed([readEnd, writeEnd])
      expect(files.closings).to.equal(THREADS)
    })

    it('has no more room for that sender, but for others, until it can go on', async () => {
      const fds = await hang(THREADS + 15)
      let called = 0
      closer.whenRoom(ALICE, () => called++)
      expect([closer.hasRoom(ALICE), closer.hasRoom(BOB), called]).to.deep.equal([true, true, 1])
      fds.push(received(files.open(), ALICE))
      closer.close(fds.at(-1)!)
      expect([closer.hasRoom(ALICE), closer.hasRoom(BOB)]).to.deep.equal([false, true])
      closer.whenRoom(ALICE, () => called++)
      await sleep(50)
      expect(called).to.equal(1)
      await files.release()
      await waitFor('room', () => called === 2)
      await untilClosed(fds)
      await untilThreadsEnded()
    })

    it('leaves those that wait in the ledger, and takes out those that are being closed', async () => {
      const fds = await hang(THREADS + 5)
      const waiting = ledger.takeAdopted(OWNER)
      expect(waiting).to.have.length(5)
      expect(waiting.every(({ fd, foreign }) => foreign && fds.includes(fd))).to.equal(true)
      await files.release()
    })
  })

  it('says when a sender has more than its part, or all together have', () => {
    const take = (count: number, sender: number): boolean => {
      const fds = Array.from({ length: count }, () => openSync('/dev/null', 'r'))
      cleanup.defer(() => Promise.resolve(fds.forEach(fd => closer.close(fd))))
      return closer.received(fds, sender)
    }
    expect([take(16, ALICE), take(1, ALICE)]).to.deep.equal([true, false])
    expect([take(15, BOB), take(1, BOB), take(1, 3)]).to.deep.equal([true, false, false])
  })

  it('closes what a dead thread had, received from others or not', async () => {
    const before = openDescriptors('self')
    const [mine, others] = makePipe()
    ledger.adopt(mine, OWNER)
    ledger.adoptForeign(others, OWNER)
    expect(closer.closeAllOf(OWNER)).to.equal(2)
    expect(isOpen(mine)).to.equal(false)
    await untilClosed([others])
    expect(openDescriptors('self')).to.equal(before)
  })
})
