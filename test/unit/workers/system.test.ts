import { once } from 'node:events'
import { readFileSync, writeSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { expect } from 'chai'
import { connectUnix } from '#workers/driver/unix-connect.js'
import { ADDRESS_BYTES, readIpAddress, writeIpAddress, writeUnixAddress } from '#workers/os/address.js'
import { descriptorLimits } from '#workers/os/descriptor-limits.js'
import { FdLedger } from '#workers/os/fd-ledger.js'
import { ForeignCloser } from '#workers/os/foreign-close.js'
import {
  AF_UNIX,
  close,
  EMFILE,
  makePipe,
  Memory,
  readOption,
  SO_SNDBUF,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  socket,
  SOL_SOCKET
} from '#workers/os/libc.js'
import { HUNG_UP, Poller, READABLE } from '#workers/os/poller.js'
import { Cleanup } from '../../support/cleanup.js'
import { hex } from '../../support/hex.js'
import { descriptorKinds, isOpen } from '../../support/process-state.js'
import { tempDir } from '../../support/temp-dir.js'
import { waitFor } from '../../support/waiting.js'

/** Some of them hit a thread where it has a socket: four in ten. */
const TERMINATIONS = 30

const memory = new Memory(ADDRESS_BYTES)
const written = (length: number): Buffer => Buffer.from(memory.bytes.subarray(0, length))

describe('socket addresses', () => {
  it('of UNIX sockets are family, path and NUL; abstract ones begin with NUL and have none at the end', () => {
    expect(written(writeUnixAddress(memory, '/a/b'))).to.deep.equal(hex('0100 2f612f62 00'))
    expect(written(writeUnixAddress(memory, '@ab'))).to.deep.equal(hex('0100 00 6162'))
    expect(writeUnixAddress(memory, '/'.padEnd(107, 'x'))).to.equal(110)
  })

  it('of UNIX sockets do not exist for paths that are empty or too long', () => {
    expect(writeUnixAddress(memory, '')).to.equal(0)
    expect(writeUnixAddress(memory, '/'.padEnd(108, 'x'))).to.equal(0)
  })

  for (const [ip, bytes, shown] of [
    ['127.0.0.1', '0200 407d 7f000001 0000000000000000', '127.0.0.1:16509'],
    ['0.0.0.0', '0200 407d 00000000 0000000000000000', '0.0.0.0:16509'],
    ['::', '0a00 407d 00000000 00000000000000000000000000000000 00000000', '[::]:16509'],
    ['::1', '0a00 407d 00000000 00000000000000000000000000000001 00000000', '[::1]:16509'],
    ['2001:db8::8:800', '0a00 407d 00000000 20010db8000000000000000000080800 00000000', '[2001:db8::8:800]:16509'],
    ['fe80::1%3', '0a00 407d 00000000 fe800000000000000000000000000001 03000000', '[fe80::1]:16509'],
    ['::ffff:1.2.3.4', '0a00 407d 00000000 00000000000000000000ffff01020304 00000000', '1.2.3.4:16509']
  ] as const) {
    it(`of ${ip} are written and read`, () => {
      expect(written(writeIpAddress(memory, ip, 16509))).to.deep.equal(hex(bytes))
      expect(readIpAddress(memory)).to.equal(shown)
    })
  }

  it('do not exist for names', () => {
    expect(writeIpAddress(memory, 'localhost', 1)).to.equal(0)
  })
})

describe('the ledger of descriptors', () => {
  it('tells apart what a thread was given and what it has taken up, from any thread\'s view', () => {
    const ledger = new FdLedger()
    const other = new FdLedger(ledger.shared)
    ledger.give(1000, 3)
    expect([other.isGiven(1000, 3), other.isGiven(1000, 4)]).to.deep.equal([true, false])
    other.adopt(1000, 3)
    expect(ledger.isGiven(1000, 3)).to.equal(false)
  })

  it('closes what a dead thread had taken up, and nothing else', () => {
    const ledger = new FdLedger()
    const [[mine, given], [others]] = [makePipe(), makePipe()]
    ledger.adopt(mine, 7)
    ledger.give(given, 7)
    ledger.adopt(others, 8)
    expect(new ForeignCloser(ledger).closeAllOf(7)).to.equal(1)
    expect([mine, given, others].map(isOpen)).to.deep.equal([false, true, true])
    expect(ledger.isGiven(given, 7)).to.equal(true)
    for (const fd of [given, others]) ledger.close(fd)
    expect(new ForeignCloser(ledger).closeAllOf(8)).to.equal(0)
  })

  it('knows all sockets of threads that are terminated while they open and close them', async () => {
    const ledger = new FdLedger()
    const sockets = (): number => descriptorKinds(process.pid).filter(kind => kind === 'socket').length
    const before = sockets()
    let left = 0
    for (let owner = 1; owner <= TERMINATIONS; owner++) {
      const connecting = new URL('../../support/connecting-thread.js', import.meta.url)
      const worker = new Worker(connecting, { workerData: { shared: ledger.shared, owner } })
      await once(worker, 'message')
      await sleep(5 * Math.random())
      await worker.terminate()
      left += new ForeignCloser(ledger).closeAllOf(owner)
    }
    expect(sockets()).to.be.at.most(before)
    expect(left).to.be.above(0)
  })
})

describe('the descriptors that a process may have', () => {
  it('are left in part to what others send, whatever else is opened', async () => {
    const { outcome } = await connectUnix([{ path: '/nowhere', named: true }], new FdLedger(undefined, 3), 1, 1000, { up: false })
    expect(outcome).to.equal(-EMFILE)
  })

  it('have room for all that may be held for others, and for one message more in each thread', () => {
    const all = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))![1])
    for (const threads of [3, 10, 100]) {
      const { own, foreign } = descriptorLimits(threads)
      expect(foreign).to.be.within(1024, 4096)
      expect(own).to.be.at.least(Math.floor(0.93 * all))
      if (foreign > 1024) expect(all - own).to.be.at.least(threads * (foreign + 253))
      else expect(all - own).to.be.at.least(Math.min(threads * 1277, Math.floor((all - 512) / 16)))
    }
  })
})

describe('a connection to a driver daemon', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('holds more of an upload than UNIX sockets do by default', async () => {
    const path = join(await tempDir(cleanup), 'daemon')
    const server = createServer().listen(path)
    cleanup.defer(() => Promise.resolve(void server.close()))
    await once(server, 'listening')
    const plain = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
    const { outcome: connected } = await connectUnix([{ path, named: true }], new FdLedger(), 1, 1000, { up: false })
    const room = (fd: number): number => readOption(fd, SOL_SOCKET, SO_SNDBUF)!.readInt32LE(0)
    // Without privileges the kernel's limit may be the default for one; it doubles what it is asked for.
    expect(room(connected)).to.be.at.least(Math.min(1024 * 1024, 2 * room(plain)))
    for (const fd of [plain, connected]) close(fd)
  })
})

// It rests on internals of Node: a stream handle whose buffer has no room is told that data is there, and never reads.
describe('the poller', () => {
  let poller: Poller
  beforeEach(() => (poller = new Poller()))
  afterEach(() => poller.close())

  it('tells that data is there, again and again, and takes none of it', async () => {
    const [readEnd, writeEnd] = makePipe()
    let told = 0
    const slot = poller.add(readEnd, READABLE, {
      ready: events => {
        expect(events & READABLE).to.equal(READABLE)
        if (++told === 3) poller.remove(slot, readEnd)
      }
    })
    writeSync(writeEnd, 'x')
    await waitFor('three calls', () => told === 3)
    await sleep(50)
    expect(told).to.equal(3)
    for (const fd of [readEnd, writeEnd]) close(fd)
  })

  it('tells when the other end is gone, even if nothing is asked for', async () => {
    const [readEnd, writeEnd] = makePipe()
    let seen = 0
    const slot = poller.add(readEnd, 0, {
      ready: events => {
        seen = events
        poller.remove(slot, readEnd)
      }
    })
    close(writeEnd)
    await waitFor('the end', () => seen !== 0)
    expect(seen & HUNG_UP).to.equal(HUNG_UP)
    close(readEnd)
  })

  it('watches more descriptors than it serves at a time', async () => {
    const pipes = Array.from({ length: 600 }, () => makePipe())
    const told = new Set<number>()
    for (const [readEnd, writeEnd] of pipes) {
      const slot = poller.add(readEnd, READABLE, {
        ready: () => {
          told.add(readEnd)
          poller.remove(slot, readEnd)
        }
      })
      writeSync(writeEnd, 'x')
    }
    await waitFor('all of them', () => told.size === pipes.length)
    for (const fd of pipes.flat()) close(fd)
  })

  it('does not mistake a new descriptor for the one that had its number', async () => {
    const [[first, firstEnd], [second, secondEnd]] = [makePipe(), makePipe()]
    const wrong: string[] = []
    let done = false
    const slots = new Map<number, number>()
    const replace = (other: number): void => {
      // Both are ready in one batch; the one that is served first takes the other out and puts a stranger in.
      if (done) return
      done = true
      for (const [fd, slot] of slots) poller.remove(slot, fd)
      const stranger = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
      poller.add(stranger, 0, { ready: events => (events & READABLE ? wrong.push(`${other}`) : 0) })
    }
    slots.set(first, poller.add(first, READABLE, { ready: () => replace(second) }))
    slots.set(second, poller.add(second, READABLE, { ready: () => replace(first) }))
    for (const fd of [firstEnd, secondEnd]) writeSync(fd, 'x')
    await waitFor('the first', () => done)
    await sleep(30)
    expect(wrong).to.be.empty
    for (const fd of [first, firstEnd, second, secondEnd]) close(fd)
  })

  it('refuses what cannot be watched', () => {
    expect(() => poller.add(9999, READABLE, { ready: () => undefined })).to.throw('epoll_ctl: Bad file descriptor')
  })
})
