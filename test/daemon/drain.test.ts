import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { CLOSE_REASON, decodeCloseReason } from '#protocol/messages/connect.js'
import { encodeCallbackId } from '#protocol/messages/events.js'
import { streamData, streamFinish } from '#protocol/messages/streams.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { clientHello } from '../support/client-hello.js'
import { DatagramReceiver } from '../support/datagram-receiver.js'
import { type DriverConnection, FakeDriver } from '../support/fake-driver.js'
import type { Frame } from '../support/frame-socket.js'
import { freePort } from '../support/free-port.js'
import { PassedSockets } from '../support/passed-sockets.js'
import { pattern } from '../support/pattern.js'
import { Pki } from '../support/pki.js'
import { RawClient } from '../support/raw-client.js'
import { SilentCrowd } from '../support/silent-crowd.js'
import { canConnect } from '../support/sockets.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { rawTlsClient } from '../support/tls-client.js'
import { waitFor } from '../support/waiting.js'

const { domainGetXmlDesc: CALL, storageVolUpload: UPLOAD, storageVolDownload: DOWNLOAD, connectClose: CLOSE } = REMOTE
const NUMBERED = REMOTE.domainGetInfo
const EMPTY = Buffer.alloc(0)
/** Longer than any test. */
const NEVER = 1000
const HANDSHAKE = 22

interface Pair {
  client: RawClient
  daemon: DriverConnection
}

/** A client with a call that the daemon has and does not answer yet. */
interface Caller extends Pair {
  call: Frame
  /** The client's own serial of it. */
  serial: number
}

/** We may read the log slower than it is written, which it tells. */
const TROUBLE = /cut off|error : (?!daemon.virtproxyd : \d+ lines of the log were lost)/

describe('a stop', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  /** Which connection at the daemon is whose shows a call with a number. */
  async function many(stage: Stage, count: number, where?: string): Promise<Pair[]> {
    const daemons = new Map<number, DriverConnection>()
    stage.driver.on(NUMBERED, ({ payload }, daemon) => (daemons.set(payload.readUInt32BE(0), daemon), EMPTY))
    return Promise.all(Array.from({ length: count }, async (_, number) => {
      const client = await stage.connect(where)
      expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
      await client.call(NUMBERED, encodeCallbackId(number))
      return { client, daemon: daemons.get(number)! }
    }))
  }

  /** Whose call is whose shows its only argument, a number. */
  let calls = 0

  async function calling(driver: FakeDriver, { client }: Pair, proc: number): Promise<Caller> {
    const payload = encodeCallbackId(calls++)
    const serial = client.post(proc, payload)
    const { call, daemon } = await driver.taken({ proc }, payload)
    return { client, daemon, call, serial }
  }

  async function streaming(driver: FakeDriver, pair: Pair, proc: number): Promise<Caller> {
    const caller = await calling(driver, pair, proc)
    caller.daemon.reply(caller.call, EMPTY)
    await caller.client.next({ serial: caller.serial })
    return caller
  }

  const all = <T>(items: readonly T[], act: (item: T) => Promise<unknown>): Promise<unknown> => Promise.all(items.map(act))
  const ends = (pairs: readonly Pair[]): Promise<unknown> => all(pairs, ({ client }) => client.end())
  const term = (stage: Stage): boolean => stage.broker.program.child.kill('SIGTERM')

  async function endsWell(stage: Stage): Promise<void> {
    expect(await stage.broker.program.exited).to.deep.equal({ status: 0, signal: null })
  }

  for (const driver_sharing of ['identity', 'off']) {
    it(`sees off five hundred clients of all kinds, and cuts off none, driver_sharing = ${driver_sharing}`, async () => {
      const own = driver_sharing === 'off'
      const pki = await Pki.make(cleanup)
      const [server, certificate] = [await pki.server(), await pki.client()]
      const tlsPort = await freePort()
      const notify = new DatagramReceiver(join(await tempDir(cleanup), 'notify'))
      cleanup.defer(() => Promise.resolve(notify.close()))
      const stage = await Stage.start(cleanup, {
        driver_sharing, shutdown_timeout: NEVER, log_level: 2, log_outputs: '2:stderr', max_anonymous_clients: 0, actor_threads: 2,
        listen_tls: 1, tls_port: String(tlsPort), auth_tls: 'none',
        ca_file: pki.ca.certificate, cert_file: server.certificate, key_file: server.key
      }, { env: { NOTIFY_SOCKET: notify.path } })
      const { broker, driver } = stage
      driver.otherwise = () => undefined
      driver.on(CLOSE, () => EMPTY)
      driver.on(REMOTE.connectRegisterCloseCallback, () => EMPTY)
      const large = pattern(3 * 1024 * 1024)
      driver.on(REMOTE.connectGetCapabilities, () => large)

      const idle = [...await many(stage, 100), ...await many(stage, 100, broker.socket)]
      const overTls: RawClient[] = []
      for (let i = 0; i < 20; i++) {
        const client = await rawTlsClient(cleanup, tlsPort, certificate)
        await client.open('qemu:///system')
        overTls.push(client)
      }
      const callers = await Promise.all((await many(stage, 60, broker.socket)).map(pair => calling(driver, pair, CALL)))
      const uploads = await Promise.all((await many(stage, 20)).map(pair => streaming(driver, pair, UPLOAD)))
      const downloads = await Promise.all((await many(stage, 20, broker.socket)).map(pair => streaming(driver, pair, DOWNLOAD)))
      const told = await many(stage, 30)
      const toldLater = await many(stage, 10)
      await all([...told, ...toldLater], ({ client }) => client.call(REMOTE.connectRegisterCloseCallback))
      const callersToldLater = await Promise.all(toldLater.map(pair => calling(driver, pair, CALL)))
      const paused = await many(stage, 20, broker.socket)
      for (const { client } of paused) {
        client.stall()
        client.post(REMOTE.connectGetCapabilities, undefined, { serial: 9 })
      }
      const strangers = new SilentCrowd(cleanup)
      await strangers.join(60, broker.socket)
      await strangers.join(60, broker.tcpPort)
      const hello = clientHello()
      const record = Buffer.concat([Buffer.from([HANDSHAKE, 3, 1, hello.length >> 8, hello.length & 0xff]), hello])
      await strangers.join(20, tlsPort)
      await strangers.join(20, tlsPort, record)
      await strangers.join(20, tlsPort, record.subarray(0, 40))
      // Connections that are shared are read all the same.
      for (const { daemon } of paused) await (own ? daemon.untilStuck() : daemon.untilRead())

      while (notify.receive() !== undefined);
      term(stage)
      await all([...idle, ...told], ({ client }) => client.end())
      await all(overTls, client => client.end())
      await waitFor('the end of those who had not logged in', () => strangers.closed === 180)
      for (const { client } of told) expect(client.inbox.map(closing)).to.deep.equal([CLOSE_REASON.endOfFile])
      if (own) await all(idle, ({ daemon }) => daemon.end())
      for (const where of [broker.socket, broker.roSocket, broker.tcpPort, tlsPort]) expect(await canConnect(where)).to.equal(false)
      expect(existsSync(broker.socket)).to.equal(false)
      const busy = callers.length + uploads.length + downloads.length + callersToldLater.length + paused.length
      // Of a long reply that is on its way nobody waits for the beginning.
      const status = `STATUS=draining, ${busy} clients, ${callers.length + callersToldLater.length} calls`
      await waitFor(status, () => notify.receive() === status)

      // Who asks for more is not answered.
      for (const { client } of callers) client.post(CALL, undefined, { serial: 1000 })
      for (const { daemon, call } of [...callers, ...callersToldLater]) daemon.reply(call, pattern(50, call.serial))
      await ends(callers)
      for (const { client, serial: own } of callers) {
        expect(client.inbox.map(({ serial, payload }) => [serial, payload.length])).to.deep.equal([[own, 50]])
      }
      await ends(callersToldLater)
      for (const { client, serial } of callersToldLater) {
        expect(client.inbox[0]!.serial).to.equal(serial)
        expect(client.inbox.slice(1).map(closing)).to.deep.equal([CLOSE_REASON.endOfFile])
      }

      const data = pattern(300_000)
      for (const { client, call } of uploads) client.write(streamData(call, data), streamFinish(call))
      for (const { daemon, call } of uploads) {
        expect((await daemon.next({ type: MESSAGE.stream, serial: call.serial })).payload.equals(data)).to.equal(true)
        daemon.confirm(await daemon.next({ type: MESSAGE.stream, serial: call.serial, status: STATUS.ok }))
      }
      await ends(uploads)
      for (const { client, call } of uploads) {
        const left = client.inbox.map(({ type, serial, status }) => [type, serial, status])
        expect(left).to.deep.equal([[MESSAGE.stream, call.serial, STATUS.ok]])
      }

      for (const { daemon, call } of downloads) {
        daemon.data(call, data)
        daemon.confirm(call)
      }
      for (const { client, call } of downloads) expect((await client.data(call.serial, data.length)).equals(data)).to.equal(true)
      await ends(downloads)

      expect(broker.program.ended).to.equal(false)
      for (const { client } of paused) client.goOn()
      await ends(paused)
      for (const { client } of paused) expect(client.take({ serial: 9 })!.payload.equals(large)).to.equal(true)
      await endsWell(stage)
      for (const { daemon } of idle) expect(daemon.serialsOf(CLOSE), 'goodbyes').to.have.length(1)
      expect(broker.program.stderr).not.to.match(TROUBLE)
    })
  }

  it('ends soon, and in order, when all clients are idle, and more than can take leave at a time', async () => {
    const stage = await Stage.start(cleanup, { shutdown_timeout: NEVER, actor_threads: 1 })
    const pairs = await many(stage, 200)
    for (let i = 0; i < 4; i++) pairs.push(...await many(stage, 300, stage.broker.socket))
    term(stage)
    await endsWell(stage)
    await ends(pairs)
    for (const { daemon } of pairs) expect(daemon.serialsOf(CLOSE)).to.have.length(1)
    expect(stage.broker.program.stderr).not.to.match(TROUBLE)
  })

  it('has what was sent before carried out and answered, to the last call', async () => {
    const stage = await Stage.start(cleanup, { shutdown_timeout: NEVER })
    const pairs = [...await many(stage, 5), ...await many(stage, 5, stage.broker.socket)]
    const serials = Array.from({ length: 100 }, (_, serial) => serial + 10)
    for (const { client } of pairs) for (const serial of serials) client.post(CALL, pattern(20), { serial })
    // It is with the broker's kernel at least.
    await all(pairs, ({ client }) => new Promise(resolve => client.socket.write('', resolve)))
    term(stage)
    await endsWell(stage)
    for (const { client } of pairs) {
      await client.end()
      // Whatever connections to the daemon they took.
      expect(client.inbox.map(({ serial }) => serial).sort((one, other) => one - other)).to.deep.equal(serials)
    }
  })

  it('has calls and streams end with an error when the time is over, and says how many', async () => {
    const stage = await Stage.start(cleanup, { shutdown_timeout: 1 })
    stage.driver.otherwise = () => undefined
    const caller = await calling(stage.driver, await stage.open(), CALL)
    const upload = await streaming(stage.driver, await stage.open(stage.broker.socket), UPLOAD)
    term(stage)
    await endsWell(stage)
    for (const { client, serial } of [caller, upload]) {
      const failed = await client.next({ serial, status: STATUS.error })
      expect(decodeError(failed.payload).message).to.equal('the broker was stopped while this was in progress')
      await client.end()
    }
    expect(stage.broker.program.stderr).to.match(/warning : daemon\.virtproxyd : cut off by the stop: 2 clients, 1 call, 1 stream\n/)
  })

  it('does not wait longer for a daemon that takes nothing and says nothing', async () => {
    const stage = await Stage.start(cleanup, { shutdown_timeout: 1 })
    const { client, daemon } = await stage.open()
    const idle = await stage.open()
    for (const connection of [daemon, idle.daemon]) connection.stall()
    client.post(CALL)
    await client.untilRead()
    term(stage)
    await endsWell(stage)
    await ends([{ client, daemon }, idle])
  })

  it('happens at once when it is asked for twice', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const stage = await Stage.start(cleanup, { shutdown_timeout: NEVER })
      stage.driver.otherwise = () => undefined
      const idle = await stage.open()
      const { client, daemon } = await calling(stage.driver, await stage.open(), CALL)
      stage.broker.program.child.kill(signal)
      await idle.client.end()
      stage.broker.program.child.kill(signal)
      await endsWell(stage)
      await client.end()
      await daemon.end()
      expect(client.inbox).to.deep.equal([])
      expect(stage.broker.program.stderr).to.match(/cut off by the stop: \d clients?, 1 call, 0 streams/)
    }
  })

  it('begins when drain_delay is over, and till then clients come and are served', async () => {
    const stage = await Stage.start(cleanup, { shutdown_timeout: NEVER, drain_delay: NEVER, log_level: 2 })
    const { client } = await stage.open()
    term(stage)
    await stage.broker.program.hasSaid(`in ${NEVER} s no more clients are taken`)
    const later = await stage.open(stage.broker.socket)
    for (const one of [client, later.client]) expect((await one.call(CALL)).status).to.equal(STATUS.ok)
    term(stage)
    await endsWell(stage)
  })

  it('is over when the delay is, if nobody is there', async () => {
    const stage = await Stage.start(cleanup, { shutdown_timeout: NEVER, drain_delay: 1 })
    term(stage)
    await endsWell(stage)
  })

  it('leaves whoever waits at a socket of systemd\'s to the next start', async () => {
    const sockets = await PassedSockets.in(cleanup)
    const path = sockets.unix('virtbrokerd.socket')
    const port = await freePort()
    sockets.tcp('virtbrokerd-tcp.socket', port)
    const dir = await tempDir(cleanup)
    const driver = await FakeDriver.listen(cleanup, join(dir, 'virtqemud-sock'))
    driver.otherwise = () => undefined
    const conf = {
      auth_unix_rw: 'none', auth_tcp: 'none', driver_socket_dir: dir, shutdown_timeout: NEVER, log_level: 2, log_outputs: '2:stderr'
    }
    const first = await sockets.start(conf)
    const client = await RawClient.connect(cleanup, path)
    await client.next({ serial: client.post(REMOTE.authList) }, 45_000)
    const connected = driver.nextConnection()
    await client.open('qemu:///system')
    const { daemon, call, serial } = await calling(driver, { client, daemon: await connected }, CALL)
    first.child.kill('SIGTERM')
    await first.hasSaid('no more clients are taken')
    const waiting = await Promise.all([path, port].map(where => RawClient.connect(cleanup, where)))
    const answers = waiting.map(other => other.next({ serial: other.post(REMOTE.authList) }, 45_000))
    daemon.reply(call)
    await client.next({ serial })
    expect(await first.exited).to.deep.equal({ status: 0, signal: null })
    await sockets.start(conf)
    for (const answer of answers) expect((await answer).status).to.equal(STATUS.ok)
  })
})

function closing({ proc, payload }: Frame): number {
  expect(proc).to.equal(REMOTE.connectEventConnectionClosed)
  return decodeCloseReason(payload)
}
