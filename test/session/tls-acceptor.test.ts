import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'
import { expect } from 'chai'
import type { Identity } from '#protocol/identity.js'
import { tlsPriority } from '#main/config/tls-priority/tls-priority.js'
import { Counters } from '#workers/thread/counters.js'
import { Clock } from '#workers/base/clock.js'
import { connectUnix } from '#workers/driver/unix-connect.js'
import { EIO, MSG_DONTWAIT, MSG_NOSIGNAL, sendBytes } from '#workers/os/libc.js'
import type { ActorSettings } from '#workers/thread/settings.js'
import { LastHeard } from '#workers/os/last-heard.js'
import { RevokedSerials } from '#workers/tls/revoked-serials.js'
import { Arrivals, type ArrivalsOwner } from '#workers/arrival/arrivals.js'
import { TlsHandshakes } from '#workers/arrival/tls-handshake.js'
import type { HandOver } from '#workers/thread/client-record.js'
import { RESULT, SecureChannel } from '#workers/tls/secure-channel.js'
import type { ThreadIo } from '#workers/transport/thread-io.js'
import type { Transport, TransportHandler } from '#workers/transport/transport.js'
import { Cleanup } from '../support/cleanup.js'
import { clientHello, inRecords } from '../support/client-hello.js'
import { CraftedAuthority } from '../support/crafted-authority.js'
import { craft, keyOnNamelessCurve } from '../support/crafted-certificates.js'
import { pattern } from '../support/pattern.js'
import type { Credentials } from '../support/pki.js'
import { Recorder } from '../support/recorder.js'
import { tempDir } from '../support/temp-dir.js'
import { threadIo } from '../support/thread-io.js'
import { RECORD, TlsForger } from '../support/tls-forger.js'
import { waitFor } from '../support/waiting.js'

/** The connection has ended, in order or because something was still unread on the other side. */
const gone = (peer: Socket): Promise<void> =>
  new Promise(resolve => {
    for (const event of ['end', 'error', 'close']) peer.once(event, () => resolve())
    peer.resume()
  })

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

describe('TLS clients of a thread', () => {
  const cleanup = new Cleanup()
  let io: ThreadIo
  let clock: Clock
  let path: string
  let authority: CraftedAuthority
  let good: Credentials
  let handshakes: TlsHandshakes
  let arrivals: Arrivals
  const peers: Socket[] = []
  const log: string[] = []
  const begun: { heard: Recorder; transport: Transport; identity: Identity }[] = []
  /** What happens to a client that is let in. */
  let begin: (make: (handler: TransportHandler) => Transport, identity: Identity) => void
  let freed = 0
  const prototype = Object.getOwnPropertyDescriptors(SecureChannel.prototype)
  const step = prototype.accept.value as typeof SecureChannel.prototype.accept
  const receive = prototype.receive.value as typeof SecureChannel.prototype.receive
  const free = prototype.free.value as typeof SecureChannel.prototype.free

  const usual: typeof begin = (make, identity) => {
    const heard = new Recorder()
    begun.push({ heard, identity, transport: make(heard) })
  }

  before(async () => {
    path = `${await tempDir(cleanup)}/socket`
    const server = createServer({ allowHalfOpen: true }, peer => peers.push(peer)).listen(path)
    await once(server, 'listening')
    cleanup.defer(() => Promise.resolve(server.close()))
    io = threadIo(cleanup)
    clock = new Clock((_, error) => { throw error })
    cleanup.defer(() => Promise.resolve(clock.stop()))
    authority = await CraftedAuthority.make(cleanup)
    good = authority.client()
    const server_ = authority.server()
    const text = (file: string): string => readFileSync(file, 'latin1')
    const { negotiation, least } = tlsPriority()
    const context = {
      ...negotiation,
      identities: [{ chain: [text(server_.certificate)], key: text(server_.key) }],
      authorities: [text(authority.ca.certificate)]
    }
    handshakes = new TlsHandshakes(io, new Counters())
    handshakes.use({ context, verify: true, least, allowedNames: undefined, revoked: RevokedSerials.share([]) })
  })

  beforeEach(() => {
    const owner: ArrivalsOwner = {
      io,
      clock,
      lastHeard: new LastHeard(),
      settings: () => ({ loginTimeoutMs: 0, firstFrameTimeoutMs: 0 }) as Partial<ActorSettings> as ActorSettings,
      log: (_, __, message) => log.push(message),
      begin: ({ transport, record }) => begin(transport, record.identity),
      supervisor: { ended: () => undefined, cameFrom: () => undefined, countsAs: () => undefined }
    }
    arrivals = new Arrivals(owner, { handshake: handshakes.handshake })
    begin = usual
    for (const list of [log, begun]) list.length = 0
    freed = 0
    SecureChannel.prototype.free = function () {
      freed++
      free.call(this)
    }
  })

  afterEach(() => {
    SecureChannel.prototype.accept = step
    SecureChannel.prototype.receive = receive
    SecureChannel.prototype.free = free
    arrivals.closeAll('the test is over')
    for (const { transport } of begun) transport.destroy()
  })

  after(() => cleanup.run())

  /** A connection for the acceptor, and its other end. */
  async function pair(): Promise<{ handOver: HandOver; peer: Socket }> {
    const known = peers.length
    const { outcome: fd } = await connectUnix([{ path, named: true }], io.ledger, io.owner, 1000, { up: false })
    const peer = await waitFor('the peer', () => peers[known])
    peer.on('error', () => undefined)
    cleanup.defer(() => Promise.resolve(peer.destroy()))
    const listener = { name: 'tls', transport: 'tls', readonly: false, auth: 'none' } as const
    return { handOver: { id: fd, fd, since: 0, listener, peer: undefined, via: undefined }, peer }
  }

  async function accepted(): Promise<Socket> {
    const { handOver, peer } = await pair()
    arrivals.take([handOver])
    return peer
  }

  it('go on by one record a step', async () => {
    let steps = 0
    SecureChannel.prototype.accept = function () {
      steps++
      return step.call(this)
    }
    const peer = await accepted()
    const hello = clientHello()
    peer.write(inRecords(hello, Math.ceil(hello.length / 50)))
    await once(peer, 'readable')
    expect(steps).to.be.within(50, 55)
  })

  it('go on by one step a turn if that takes long, while others are served', async () => {
    const count = 8
    let steps = 0
    let inTurn = 0
    let most = 0
    SecureChannel.prototype.accept = function () {
      steps++
      most = Math.max(most, ++inTurn)
      for (const end = performance.now() + 5; performance.now() < end;);
      return step.call(this)
    }
    const all: Awaited<ReturnType<typeof pair>>[] = []
    while (all.length < count) all.push(await pair())
    for (const { peer } of all) peer.write(inRecords(clientHello()))
    arrivals.take(all.map(({ handOver }) => handOver))
    while (steps < count) {
      await turn()
      inTurn = 0
    }
    expect(most).to.equal(1)
  })

  it('are refused in more records than a handshake has', async () => {
    const peer = await accepted()
    const hello = clientHello()
    peer.write(inRecords(hello, 1))
    await gone(peer)
    expect(log[0]).to.match(/TLS handshake failed: more than 64 records$/)
  })

  it('are refused with a long ClientHello', async () => {
    const peer = await accepted()
    const groups = [...Array<number>(4000).fill(0x9999), 0x9998]
    const shares = Array.from({ length: 4000 }, () => [0x9998, Buffer.from([1])] as const)
    peer.write(inRecords(clientHello({ groups, shares })))
    await gone(peer)
    expect(log[0]).to.match(/TLS handshake failed: a ClientHello of more than 16384 bytes$/)
  })

  it('are refused with a certificate that is dear to decode, and see their connection close', async () => {
    const peer = await accepted()
    const dear = craft({ publicKey: keyOnNamelessCurve() })
    const errors: string[] = []
    const { certificate, key } = authority.stranger([craft(), dear])
    const tls = connect({ socket: peer, cert: readFileSync(certificate), key: readFileSync(key), rejectUnauthorized: false })
    tls.on('error', (error: Error) => errors.push(error.message))
    const came: Buffer[] = []
    tls.on('data', (bytes: Buffer) => came.push(bytes))
    await gone(tls)
    expect(errors).to.deep.equal([])
    expect(Buffer.concat(came)).to.have.length(0)
    expect(log[0]).to.match(/TLS handshake failed: unacceptable client certificate: a key on a curve without a name$/)
    expect(freed).to.equal(1)
  })

  it('leave nothing behind when no session comes of them', async () => {
    begin = () => undefined
    const peer = await accepted()
    await TlsForger.tls13(peer, good)
    expect(freed).to.equal(1)
  })

  it('leave nothing behind when their session fails behind its transport', async () => {
    begin = make => make(new Recorder()).destroy()
    const peer = await accepted()
    await TlsForger.tls13(peer, good)
    await gone(peer)
    expect(freed).to.equal(1)
  })

  describe('that are in', () => {
    async function comeIn() {
      const { handOver, peer } = await pair()
      arrivals.take([handOver])
      const forger = await TlsForger.tls13(peer, good)
      return { peer, forger, heard: begun[0]!.heard, fd: handOver.fd }
    }

    it('are heard in records of any length, in whatever pieces they come', async () => {
      const { peer, forger, heard } = await comeIn()
      const sent = pattern(500_000)
      const records: Buffer[] = []
      for (let at = 0, i = 0; at < sent.length; i++) {
        const length = [1, 300, 16_384, 17][i % 4]!
        records.push(forger.writer.record(RECORD.data, sent.subarray(at, at + length)))
        at += length
      }
      const stream = Buffer.concat(records)
      for (let at = 0, i = 0; at < stream.length; i++) {
        const length = [7, 40_000, 3, 150_000][i % 4]!
        peer.write(stream.subarray(at, at + length))
        at += length
        await turn()
      }
      await waitFor('all bytes', () => heard.bytes.length === sent.length)
      expect(heard.bytes.equals(sent)).to.equal(true)
    })

    it('are heard for a while in a turn only, with records as short as can be', async () => {
      const { peer, forger, heard } = await comeIn()
      const sent = pattern(20_000)
      peer.write(Buffer.concat(Array.from(sent, byte => forger.writer.record(RECORD.data, Buffer.from([byte])))))
      await waitFor('all bytes', () => heard.bytes.length === sent.length)
      expect(heard.bytes.equals(sent)).to.equal(true)
      expect(Math.max(...heard.chunks.map(({ length }) => length))).to.be.below(1500)
    })

    it('may change their keys now and then', async () => {
      const { peer, forger, heard } = await comeIn()
      for (let i = 0; i < 8; i++) {
        peer.write(Buffer.concat([forger.writer.keyUpdate(i % 2 === 0), forger.writer.record(RECORD.data, Buffer.from([i]))]))
      }
      await waitFor('all bytes', () => heard.bytes.length === 8)
      expect(heard.loss).to.equal(undefined)
    })

    it('are cut off when they do nothing but that, and cost no more than a few', async () => {
      const { peer, forger, heard } = await comeIn()
      let answers = 0
      peer.on('data', (bytes: Buffer) => (answers += bytes.length / 27))
      peer.write(Buffer.concat(Array.from({ length: 2000 }, () => forger.writer.keyUpdate(true))))
      await gone(peer)
      expect(heard.loss).to.deep.equal({ errno: EIO, fault: 'too many records without data' })
      expect(answers).to.be.within(1, 8)
    })

    it('are cut off for records without data, too', async () => {
      const { peer, forger, heard } = await comeIn()
      peer.write(Buffer.concat(Array.from({ length: 20 }, () => forger.writer.record(RECORD.data, Buffer.alloc(0)))))
      await gone(peer)
      expect(heard.loss).to.deep.equal({ errno: EIO, fault: 'too many records without data' })
    })

    it('are cut off when they ask for new handshakes over and over, under TLS 1.2', async () => {
      const peer = await accepted()
      const forger = await TlsForger.tls12(peer, good)
      const { heard } = begun[0]!
      let answers = 0
      peer.on('data', (bytes: Buffer) => (answers += bytes.length / 31))
      const hello = clientHello({ version: 0x0303 })
      peer.write(Buffer.concat(Array.from({ length: 2000 }, () => forger.writer.record(RECORD.handshake, hello))))
      await gone(peer)
      expect(heard.loss).to.deep.equal({ errno: EIO, fault: 'too many records without data' })
      expect(answers).to.be.within(1, 9)
    })

    it('are heard behind an update of keys that could not be answered at once', async () => {
      const { peer, forger, heard, fd } = await comeIn()
      // Until the client's stream has enough of it, and the kernel takes nothing more.
      peer.pause()
      const filling = Buffer.alloc(1000)
      const put = (length: number): boolean => sendBytes(fd, filling, length, MSG_DONTWAIT | MSG_NOSIGNAL) > 0
      while (put(1)) {
        while (put(filling.length) || put(1));
        await sleep(20)
      }
      let waits = 0
      SecureChannel.prototype.receive = function (address) {
        const count = receive.call(this, address)
        if (this.outcome === RESULT.wantWrite) waits++
        return count
      }
      const sent = pattern(100_000)
      // OpenSSL answers an update at the next opportunity only.
      peer.write(Buffer.concat([forger.writer.keyUpdate(true), forger.writer.keyUpdate(true)]))
      for (let at = 0; at < sent.length; at += 10_000) {
        peer.write(forger.writer.record(RECORD.data, sent.subarray(at, at + 10_000)))
      }
      await waitFor('the update', () => waits > 0)
      expect(heard.bytes).to.have.length(0)
      peer.resume()
      await waitFor('all bytes', () => heard.bytes.length === sent.length || heard.loss !== undefined)
      expect(heard.loss).to.equal(undefined)
      expect(heard.bytes.equals(sent)).to.equal(true)
    })
  })
})
