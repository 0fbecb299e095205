import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { connectUnix } from '#workers/driver/unix-connect.js'
import { HUNG_UP } from '#workers/os/poller.js'
import { PolledTransport, type PolledOptions } from '#workers/transport/polled.js'
import type { ThreadIo } from '#workers/transport/thread-io.js'
import type { SplicePath } from '#workers/transport/transport.js'
import { Cleanup } from '../support/cleanup.js'
import { pattern } from '../support/pattern.js'
import { Recorder } from '../support/recorder.js'
import { tempDir } from '../support/temp-dir.js'
import { threadIo } from '../support/thread-io.js'
import { waitFor } from '../support/waiting.js'

const MiB = 2 ** 20

describe('a polled transport', () => {
  const cleanup = new Cleanup()
  let io: ThreadIo
  let path: string
  let peers: Socket[]

  before(async () => {
    path = `${await tempDir(cleanup)}/socket`
    peers = []
    const server = createServer({ allowHalfOpen: true }, peer => peers.push(peer)).listen(path)
    await once(server, 'listening')
    cleanup.defer(() => Promise.resolve(server.close()))
    io = threadIo(cleanup)
  })
  after(() => cleanup.run())

  async function pair(options: PolledOptions): Promise<{ transport: PolledTransport; heard: Recorder; peer: Socket }> {
    const known = peers.length
    const { outcome } = await connectUnix([{ path, named: true }], io.ledger, io.owner, 1000, { up: false })
    const heard = new Recorder()
    const transport = new PolledTransport(io, outcome, heard, options)
    cleanup.defer(() => Promise.resolve(transport.destroy()))
    const peer = await waitFor('the peer', () => peers[known])
    cleanup.defer(() => Promise.resolve(peer.destroy()))
    return { transport, heard, peer }
  }

  for (const options of [{}, { sender: 1 }]) {
    const kind = 'sender' in options ? 'that carries descriptors' : 'that carries bytes only'

    describe(kind, () => {
      it('hears everything, however much came while it was not looking', async () => {
        const { transport, heard, peer } = await pair(options)
        const bytes = pattern(3 * MiB + 17)
        transport.pause()
        peer.write(bytes)
        await sleep(50)
        expect(heard.size).to.equal(0)
        transport.resume()
        await waitFor('all bytes', () => heard.size === bytes.length)
        expect(heard.bytes.equals(bytes)).to.equal(true)
      })

      it('hears of the end that came together with the last bytes', async () => {
        const { transport, heard, peer } = await pair(options)
        transport.pause()
        peer.end(pattern(100))
        await sleep(50)
        transport.resume()
        await waitFor('the end', () => heard.loss)
        expect(heard.size).to.equal(100)
        expect(heard.loss).to.deep.equal({ errno: 0 })
      })

      it('hears of the end that comes while the last bytes are being served', async () => {
        const { heard, peer } = await pair(options)
        heard.onData = () => peer.destroy()
        peer.write('y')
        await waitFor('the end', () => heard.loss)
        expect(heard.size).to.equal(1)
      })

      it('is not told again and again of an end that it does not listen for, but at once when it does', async () => {
        const { transport, heard, peer } = await pair(options)
        transport.pause()
        peer.end('bye')
        await sleep(50)
        expect(heard.loss).to.equal(undefined)
        transport.resume()
        await waitFor('the end', () => heard.loss)
        expect(heard.bytes.toString()).to.equal('bye')
      })

      it('goes on when it was paused and resumed while it was being told', async () => {
        const { transport, heard, peer } = await pair(options)
        heard.onData = () => {
          transport.pause()
          setImmediate(() => transport.resume())
        }
        const bytes = pattern(MiB)
        peer.end(bytes)
        await waitFor('the end', () => heard.loss)
        expect(heard.bytes.equals(bytes)).to.equal(true)
      })

      it('hears everything up to an end that it is told of when it has been resumed already', async () => {
        const { transport, heard, peer } = await pair({ ...options, daemon: true })
        const bytes = pattern(100_000)
        transport.pause()
        peer.write(bytes, () => peer.destroy())
        await once(peer, 'close')
        transport.resume()
        // It stood behind the one that has resumed it, in what one look at the poller has brought.
        transport.ready(HUNG_UP)
        await waitFor('the end', () => heard.loss)
        expect(heard.bytes.equals(bytes)).to.equal(true)
      })

      it('writes everything, as its peer takes it', async () => {
        const { transport, heard, peer } = await pair(options)
        const bytes = pattern(2 * MiB + 5)
        peer.pause()
        expect(transport.send(bytes, 0, bytes.length)).to.equal(false)
        const arrived: Buffer[] = []
        peer.on('data', chunk => arrived.push(chunk)).resume()
        await waitFor('all bytes', () => arrived.reduce((sum, { length }) => sum + length, 0) === bytes.length)
        expect(Buffer.concat(arrived).equals(bytes)).to.equal(true)
        // It reads as before.
        peer.write('z')
        await waitFor('a byte', () => heard.size === 1)
      })
    })
  }

  it('asks the poller for nothing more of a peer that has ended when it is closed for that', async () => {
    const { transport, heard, peer } = await pair({})
    const { poller } = io
    const change = poller.change.bind(poller)
    let asked = 0
    poller.change = (...args) => {
      asked++
      change(...args)
    }
    heard.ended = () => {
      transport.destroy()
      heard.loss = { errno: 0 }
    }
    peer.end()
    await waitFor('the end', () => heard.loss)
    Reflect.deleteProperty(poller, 'change')
    expect(asked).to.equal(0)
  })

  it('is not told of an end again when it goes on writing', async () => {
    const { transport, heard, peer } = await pair({})
    let ends = 0
    heard.ended = () => {
      ends++
      peer.pause()
      const bytes = pattern(2 * MiB)
      transport.send(bytes, 0, bytes.length)
    }
    peer.end()
    await waitFor('the end', () => ends > 0)
    peer.resume()
    await waitFor('all to be out', () => transport.pending === 0)
    expect(ends).to.equal(1)
  })

  describe('with a splice path for long frames', () => {
    /** The path to `to`, for one frame of `left` bytes. */
    class Path implements SplicePath {
      ended = false
      unseen = 0
      readonly leftOver: Buffer[] = []
      constructor(
        readonly heard: Recorder,
        public left: number,
        readonly to: number | undefined
      ) {
        heard.splicePath = this
      }

      moved(count: number, bytes: Buffer, from: number, to: number): void {
        this.unseen += count
        this.left -= count
        this.leftOver.push(Buffer.from(bytes.subarray(from, to)))
      }

      over(): void {
        this.ended = true
        this.heard.splicePath = undefined
      }
    }

    /** All that the peer is sent from now on. */
    function arrivals(peer: Socket): () => Buffer {
      const chunks: Buffer[] = []
      peer.on('data', chunk => chunks.push(chunk))
      return () => Buffer.concat(chunks)
    }

    it('moves them on without reading them', async () => {
      const [from, to] = [await pair({}), await pair({})]
      const bytes = pattern(MiB)
      const way = new Path(from.heard, bytes.length, to.transport.spliceTarget)
      const arrived = arrivals(to.peer)
      from.peer.write(bytes)
      await waitFor('all bytes', () => arrived().length === bytes.length)
      expect(arrived().equals(bytes)).to.equal(true)
      expect(way).to.include({ unseen: bytes.length, left: 0 })
      expect(from.heard.size).to.equal(0)
      expect(from.transport.bytesIn).to.equal(bytes.length)
    })

    it('reads the next header alone, and all else when it is not that of a long frame', async () => {
      const [from, to] = [await pair({}), await pair({})]
      const way = new Path(from.heard, 0, to.transport.spliceTarget)
      from.peer.write(pattern(1000))
      await waitFor('all bytes', () => from.heard.size === 1000)
      expect(from.heard.chunks.map(({ length }) => length)).to.deep.equal([28, 972])
      expect(way).to.include({ unseen: 0, ended: true })
    })

    it('hands over what the other socket does not take', async () => {
      const [from, to] = [await pair({}), await pair({})]
      to.peer.pause()
      const bytes = pattern(8 * MiB)
      const way = new Path(from.heard, bytes.length, to.transport.spliceTarget)
      from.peer.write(bytes)
      await waitFor('bytes left over', () => way.leftOver.some(({ length }) => length > 0))
      from.transport.pause()
      const arrived = arrivals(to.peer)
      const rest = Buffer.concat(way.leftOver)
      to.peer.resume()
      await waitFor('all others', () => arrived().length + rest.length === way.unseen)
      expect(Buffer.concat([arrived(), rest]).equals(bytes.subarray(0, way.unseen))).to.equal(true)
    })

    it('has them go nowhere while something is queued for the other socket, which must go first, and when it is closed', async () => {
      const { transport, peer } = await pair({})
      expect(transport.spliceTarget).to.be.a('number')
      peer.pause()
      const bytes = pattern(8 * MiB)
      expect(transport.send(bytes, 0, bytes.length)).to.equal(false)
      expect(transport.spliceTarget).to.equal(undefined)
      peer.resume()
      await waitFor('room', () => transport.spliceTarget)
      transport.destroy()
      expect(transport.spliceTarget).to.equal(undefined)
    })

    it('reads them when they have nowhere to go', async () => {
      const from = await pair({})
      const way = new Path(from.heard, MiB, undefined)
      from.peer.write(pattern(MiB))
      await waitFor('all bytes', () => from.heard.size === MiB)
      expect(way).to.include({ unseen: 0, ended: true })
    })

    it('hears of the end in the middle of one', async () => {
      const [from, to] = [await pair({}), await pair({})]
      const way = new Path(from.heard, MiB, to.transport.spliceTarget)
      const arrived = arrivals(to.peer)
      from.peer.end(pattern(300_000))
      await waitFor('the end', () => from.heard.loss)
      await waitFor('what was sent', () => arrived().length === 300_000)
      expect(from.heard.loss).to.deep.equal({ errno: 0 })
      expect(way.unseen).to.equal(300_000)
    })

    it('reads them where descriptors travel, which are not moved', async () => {
      const [from, to] = [await pair({ sender: 1 }), await pair({})]
      const way = new Path(from.heard, MiB, to.transport.spliceTarget)
      from.peer.write(pattern(MiB))
      await waitFor('all bytes', () => from.heard.size === MiB)
      expect(way.unseen).to.equal(0)
    })
  })
})
