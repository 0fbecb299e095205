import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { clientHello, inRecords } from '../support/client-hello.js'
import type { Conf } from '../support/conf-file.js'
import { CraftedAuthority } from '../support/crafted-authority.js'
import {
  alternativeNames,
  commonName,
  craft,
  keyOnNamelessCurve,
  longOid,
  name,
  rdn,
  relativePoints,
  TYPE
} from '../support/crafted-certificates.js'
import { freePort } from '../support/free-port.js'
import type { Credentials } from '../support/pki.js'
import { mustRun } from '../support/processes.js'
import { cpuMs, openDescriptors } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { confirmed, rawTlsClient } from '../support/tls-client.js'
import { RECORD, TlsForger } from '../support/tls-forger.js'
import { waitFor } from '../support/waiting.js'

const crowd = new URL('../support/tls-crowd.js', import.meta.url).pathname
const faults = new URL('../support/tls-fault.js', import.meta.url).href
/** CPU time of the broker. Looked at or read to its end, each of these peers would cost a second at least. */
const LITTLE_MS = 600
const TOO_MANY = /TLS failed: too many records without data/

describe('a TLS peer of any kind', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let authority: CraftedAuthority
  let files: Conf
  let stage: Stage
  let port: number
  let good: Credentials

  before(async () => {
    authority = await CraftedAuthority.make(cleanup)
    const server = authority.server()
    files = { ca_file: authority.ca.certificate, cert_file: server.certificate, key_file: server.key }
    ;({ stage, port } = await start({ tls_allowed_dn_list: ['CN=*client*', 'CN=*.tenant.example'] }))
    good = authority.client()
  })
  after(() => cleanup.run())

  /** A broker with a TLS listener, and a single thread. */
  async function start(conf: Conf, nodeOptions: string[] = []): Promise<{ stage: Stage; port: number }> {
    const port = await freePort()
    const tls = { listen_tls: 1, tls_port: String(port), auth_tls: 'none', actor_threads: 1, login_timeout: 30, ...files }
    return { stage: await Stage.start(cleanup, { ...tls, ...conf }, { nodeOptions }), port }
  }

  async function socketTo(port: number): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true }).on('error', () => undefined)
    cleanup.defer(() => Promise.resolve(socket.destroy()))
    await once(socket, 'connect')
    return socket
  }

  const gone = (socket: Socket): Promise<void> => new Promise(resolve => void socket.resume().once('close', () => resolve()))

  /** CPU time, in milliseconds, that the broker takes for `what`, while somebody else on the same thread is served. */
  async function costOf(what: () => Promise<unknown>): Promise<number> {
    const { client } = await stage.open()
    let going = true
    const calling = async (): Promise<void> => {
      while (going) {
        expect((await client.call(REMOTE.connectGetLibVersion)).status).to.equal(STATUS.ok)
        await sleep(20)
      }
    }
    const before = cpuMs(stage.broker.program.pid)
    const called = calling()
    await what().finally(() => (going = false))
    await called
    client.destroy()
    return cpuMs(stage.broker.program.pid) - before
  }

  /** The lines that the log got meanwhile. */
  async function logOf(what: () => Promise<unknown>, awaited: RegExp): Promise<string> {
    const { program } = stage.broker
    const before = program.stderr.length
    await what()
    await waitFor(`${awaited} in the log`, () => awaited.test(program.stderr.slice(before)))
    return program.stderr.slice(before)
  }

  const isRefused = async (credentials: Credentials): Promise<void> => {
    const came = await confirmed(port, credentials).then(
      socket => (socket.destroy(), 'let in'),
      (error: Error) => error.message
    )
    expect(came).to.equal('the server closed the connection')
  }

  /** In a process of their own, whose OpenSSL has to look at the certificates as well. */
  async function fourAreRefused({ certificate, key }: Credentials): Promise<void> {
    const { stdout } = await mustRun([process.execPath, crowd, String(port), certificate, key, '4'])
    expect(stdout).to.equal(`0 let in\n${'Error: the server closed the connection\n'.repeat(3)}`)
  }

  describe('with a certificate that is dear to look at', () => {
    const stranger = commonName('stranger')
    const longName = name(...Array.from({ length: 400 }, () => rdn('x')))
    const dear: Record<string, [certificates: () => Buffer[], why: RegExp]> = {
      'keys on curves given by their equation': [
        () => [craft(), ...Array<Buffer>(2).fill(craft({ publicKey: keyOnNamelessCurve() }))],
        /a key on a curve without a name/
      ],
      'points of distribution relative to a long name': [
        () => [craft({ subject: stranger, issuer: longName, extensions: [relativePoints(400)] })],
        /a name of more than 4096 bytes/
      ],
      'points of distribution relative to a short name': [
        () => [craft({ subject: stranger, extensions: [relativePoints(2500)] })],
        /a relative name of a point of distribution/
      ],
      'an object identifier of 64,000 bytes': [
        () => [craft({ subject: name(rdn('x', TYPE.utf8, longOid(64_000))), issuer: stranger })],
        /a name of more than 4096 bytes/
      ],
      'hundreds of others sent along': [
        () => [craft(), ...Array<Buffer>(300).fill(craft({ subject: name() }))],
        /more than 16 certificates/
      ]
    }
    for (const [what, [certificates, why]] of Object.entries(dear)) {
      it(`(${what}) is refused before it is looked at, and costs little`, async () => {
        const credentials = authority.stranger(certificates())
        const log = await logOf(async () => {
          expect(await costOf(() => fourAreRefused(credentials))).to.be.below(LITTLE_MS)
        }, why)
        expect(log).to.match(/TLS handshake failed: unacceptable client certificate: /)
      })
    }

    it('(of more than 64 KiB) is refused with a plain line in the log, whoever made it', async () => {
      const hosts = Array.from({ length: 3000 }, (_, i) => `host-${i}.example.com`)
      const long = authority.client({ extensions: [alternativeNames(hosts)] })
      const log = await logOf(() => isRefused(long), /unacceptable client certificate: a certificate of 6\d{4} bytes$/m)
      expect(log).to.not.match(/unexpected failure|^ +at /m)
      await confirmed(port, authority.client({ extensions: [alternativeNames(hosts.slice(0, 2000))] }))
    })
  })

  describe('with a name that is no text', () => {
    const email = Buffer.from('06092a864886f70d010901', 'hex')
    const names: Record<string, Buffer> = {
      'a NUL, behind which C reads no further': name(rdn('admin\0.tenant.example')),
      'a NUL in another attribute': name(rdn('a\0', TYPE.ia5, email), rdn('client')),
      'a NUL in a BMPString': name(rdn(Buffer.from('\0c\0l\0i\0e\0n\0t\0\0', 'latin1'), TYPE.bmp)),
      'an end of line': name(rdn('client\nforged line'))
    }
    for (const [what, subject] of Object.entries(names)) {
      it(`(${what}) is refused, though its authority and a pattern allow it`, async () => {
        const log = await logOf(() => isRefused(authority.client({ subject })), /holds characters that are not text \(.*\)$/m)
        expect(log).to.not.match(/^forged|\0/m)
      })
    }

    it('costs a short line of the log, however long it is', async () => {
      const subject = commonName('\x01'.repeat(4000))
      for (const credentials of [authority.client({ subject }), authority.stranger([craft({ subject })])]) {
        const log = await logOf(() => isRefused(credentials), /: (Client's|Certificate failed)/)
        expect(log.length).to.be.below(1200)
      }
    })
  })

  /** Resolves when the other side has closed, which it does while it is sent this. */
  async function isCutOff(socket: Socket, flood: Buffer): Promise<void> {
    const end = gone(socket)
    socket.write(flood)
    await end
  }

  describe('that is in', () => {
    for (const mutual of [false, true]) {
      it(`and updates its keys${mutual ? ', and ours,' : ''} over and over is cut off, and costs little`, async () => {
        const forger = await TlsForger.tls13(await socketTo(port), good)
        const flood = Buffer.concat(Array.from({ length: 100_000 }, () => forger.writer.keyUpdate(mutual)))
        await logOf(async () => {
          expect(await costOf(() => isCutOff(forger.socket, flood))).to.be.below(LITTLE_MS)
        }, TOO_MANY)
      })
    }

    it('and asks for new handshakes over and over is cut off, and costs little', async () => {
      const forger = await TlsForger.tls12(await socketTo(port), good)
      const hello = clientHello({ version: 0x0303 })
      const flood = Buffer.concat(Array.from({ length: 60_000 }, () => forger.writer.record(RECORD.handshake, hello)))
      await logOf(async () => {
        expect(await costOf(() => isCutOff(forger.socket, flood))).to.be.below(LITTLE_MS)
      }, TOO_MANY)
    })
  })

  it('whose handshake comes in records of a byte is cut off, and costs little', async () => {
    const socket = await socketTo(port)
    const groups = Array<number>(30_000).fill(0x9999)
    const flood = inRecords(clientHello({ groups }), 1)
    const log = await logOf(async () => {
      expect(await costOf(() => isCutOff(socket, flood))).to.be.below(LITTLE_MS)
    }, /TLS handshake failed: more than 64 records/)
    expect(log).to.not.match(/unexpected failure/)
  })

  it('whose session cannot be made leaves nothing behind', async () => {
    const { stage, port } = await start({}, ['--import', faults])
    const before = openDescriptors(stage.broker.program.pid)
    const log = (): string => stage.broker.program.stderr
    for (const why of ['a transport', 'a session']) {
      const freed = log().split('a channel is freed').length
      const socket = await confirmed(port, good)
      await gone(socket)
      await waitFor('the log', () => log().includes(`unexpected failure: Error: ${why} cannot be made`))
      await waitFor('the channel to be freed', () => log().split('a channel is freed').length === freed + 1)
      await waitFor('the descriptor to be closed', () => openDescriptors(stage.broker.program.pid) <= before)
    }
    const client: RawClient = await rawTlsClient(cleanup, port, good)
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    expect(log()).to.not.match(/actor thread died/)
    client.destroy()
    await waitFor('the end of the last channel', () => log().split('a channel is freed').length === 4)
  })
})
