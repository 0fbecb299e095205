import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { decodeAuthList, decodeSaslReply, encodeSaslStart, encodeSaslStep, MAX_SASL_BYTES } from '#protocol/messages/auth.js'
import { encodeText } from '#protocol/messages/connect.js'
import { ADMIN, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { AdminConnection, clientName } from '../support/admin-connection.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv } from '../support/clients.js'
import { confText } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { Kdc } from '../support/kdc.js'
import { Libvirtd } from '../support/libvirtd.js'
import { Metrics } from '../support/metrics.js'
import { Pki } from '../support/pki.js'
import { PrivateHost } from '../support/private-host.js'
import { printed, Program, run, type Outcome } from '../support/processes.js'
import type { RawClient } from '../support/raw-client.js'
import { SaslFiles } from '../support/sasl.js'
import { expectComplete, expectRefused, login, mechanisms, plain, start } from '../support/sasl-login.js'
import { Stage } from '../support/stage.js'
import { canConnect } from '../support/sockets.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const MEGABYTE = 1024 * 1024

describe('SASL', () => {
  const cleanup = new Cleanup()
  let sasl: SaslFiles
  let stage: Stage
  let metricsPort: number

  before(async () => {
    sasl = await SaslFiles.create(cleanup, 'digest-md5 scram-sha-256 plain cram-md5')
    await sasl.addUser('fred', 'secret')
    await sasl.addUser('eve', 'secret')
    metricsPort = await freePort()
    stage = await sasl.inUse(() => Stage.start(cleanup, {
      metrics_listen: `127.0.0.1:${metricsPort}`,
      auth_tcp: 'sasl',
      auth_unix_rw: 'sasl',
      sasl_allowed_username_list: ['f??d', 'nobody@*'],
      max_anonymous_clients: 300,
      log_level: 1
    }))
  })

  after(() => cleanup.run())

  const unix = (): Promise<RawClient> => stage.connect(stage.broker.socket)
  const log = (): string => stage.broker.program.stderr

  async function environment(name: string, password: string): Promise<NodeJS.ProcessEnv> {
    const file = await sasl.credentials(name, password)
    return { ...clientEnv, LIBVIRT_AUTH_FILE: file }
  }

  async function virsh(uri: string, name: string, password: string, ...command: string[]): Promise<Outcome> {
    return run(['virsh', '-c', uri, ...command], { env: await environment(name, password) })
  }

  describe('lets virsh in', () => {
    const ways: [string, () => string][] = [
      ['with DIGEST-MD5 over TCP', () => stage.broker.tcpUri('qemu', '/system')],
      ['with the mechanism it likes best over UNIX', () => stage.broker.unixUri('qemu', '/system')],
      ['with DIGEST-MD5 over UNIX', () => `${stage.broker.unixUri('qemu', '/system')}&auth=sasl.DIGEST-MD5`],
      ['with SCRAM-SHA-256 over UNIX', () => `${stage.broker.unixUri('qemu', '/system')}&auth=sasl.SCRAM-SHA-256`],
      ['with CRAM-MD5 over UNIX', () => `${stage.broker.unixUri('qemu', '/system')}&auth=sasl.CRAM-MD5`],
      ['with PLAIN over UNIX', () => `${stage.broker.unixUri('qemu', '/system')}&auth=sasl.PLAIN`]
    ]
    for (const [what, uri] of ways) {
      it(`${what}, and the driver daemon hears who it is`, async () => {
        const { stdout, stderr } = await virsh(uri(), 'fred', 'secret', 'uri')
        expect(stdout, stderr + log()).to.contain(uri())
        const userId = uri().includes('+unix') ? 0 : undefined
        expect(stage.driver.identities.findLast(one => one.userId === userId)!.saslUserName).to.equal('fred')
      })
    }
  })

  it('tells administrators who somebody is', async () => {
    const client = await unix()
    expectComplete(await login(client, 'fred', 'secret'))
    const admin = await AdminConnection.to(cleanup, stage.broker)
    await waitFor('his name', async () => {
      for (const { id } of await admin.clients()) {
        const { status, payload } = await admin.call(ADMIN.clientGetInfo, clientName('virtproxyd', id).u32(0))
        if (status === STATUS.ok && payload.includes('sasl_user_name')) return payload.includes('fred')
      }
      return false
    })
    client.destroy()
    admin.client.destroy()
  })

  describe('keeps virsh out', () => {
    const ways: [string, string, string][] = [
      ['a wrong password', 'fred', 'wrong'],
      ['an unknown user', 'ghost', 'secret'],
      ['a user who is not on the list', 'eve', 'secret']
    ]
    for (const [what, name, password] of ways) {
      it(`with ${what}, over TCP and UNIX, and says no more than that`, async () => {
        for (const uri of [stage.broker.tcpUri('qemu', '/system'), stage.broker.unixUri('qemu', '/system')]) {
          const { status, stderr } = await virsh(uri, name, password, 'uri')
          expect(status).to.equal(1)
          expect(stderr).to.contain('authentication failed: authentication failed')
          expect(stderr).not.to.contain('ACL').and.not.to.contain('not found')
        }
      })
    }

    it('with a mechanism that gives no protection, on plain TCP', async () => {
      const uri = `${stage.broker.tcpUri('qemu', '/system')}?auth=sasl.PLAIN`
      const { stderr } = await virsh(uri, 'fred', 'secret', 'uri')
      expect(stderr).to.contain('SASL mechanism PLAIN not supported by server')
    })

    it('and tells the log why', async () => {
      await stage.broker.program.hasSaid("SASL client identity 'eve' not allowed by ACL")
      await stage.broker.program.hasSaid(/SASL code -13/)
    })
  })

  it('offers what gives enough protection: everything on UNIX, encryption on TCP', async () => {
    expect(decodeAuthList((await (await unix()).call(REMOTE.authList)).payload)).to.deep.equal([1])
    expect(await mechanisms(await unix())).to.equal('DIGEST-MD5,SCRAM-SHA-256,PLAIN,CRAM-MD5')
    expect(await mechanisms(await stage.connect())).to.equal('DIGEST-MD5')
  })

  describe('encryption on TCP', () => {
    it('carries a reply of 3 MB', async () => {
      const text = `<capabilities>${randomBytes(1.5 * MEGABYTE).toString('hex')}</capabilities>`
      stage.driver.on(REMOTE.connectGetCapabilities, () => encodeText(text))
      const { stdout, stderr } = await virsh(stage.broker.tcpUri('qemu', '/system'), 'fred', 'secret', 'capabilities')
      expect(stdout.trim() === text, stderr).to.equal(true)
    })

    it('carries a call of 3 MB', async () => {
      const dir = await tempDir(cleanup)
      const xml = `<domain>${randomBytes(1.5 * MEGABYTE).toString('hex')}</domain>`
      await writeFile(join(dir, 'domain.xml'), xml)
      await virsh(stage.broker.tcpUri('qemu', '/system'), 'fred', 'secret', 'define', join(dir, 'domain.xml'))
      const defines = [REMOTE.domainDefineXml, REMOTE.domainDefineXmlFlags] as number[]
      const calls = stage.driver.connections.flatMap(daemon => daemon.calls).filter(({ proc }) => defines.includes(proc))
      expect(calls[0]!.payload.includes(xml)).to.equal(true)
    })
  })

  describe('what a client must not do', () => {
    it('START or STEP without INIT, and STEP without START', async () => {
      const client = await unix()
      expectRefused(await start(client, 'PLAIN', plain('fred', 'secret')))
      expectRefused(await client.call(REMOTE.authSaslStep, encodeSaslStep(undefined)))
      await mechanisms(client)
      expectRefused(await client.call(REMOTE.authSaslStep, encodeSaslStep(undefined)))
      // None of this has done the attempt any harm.
      expectComplete(await start(client, 'PLAIN', plain('fred', 'secret')))
    })

    it('INIT twice', async () => {
      const client = await unix()
      await mechanisms(client)
      expectRefused(await client.call(REMOTE.authSaslInit))
      expectComplete(await start(client, 'PLAIN', plain('fred', 'secret')))
    })

    it('any SASL call after success', async () => {
      const client = await unix()
      expectComplete(await login(client, 'fred', 'secret'))
      expect(decodeAuthList((await client.call(REMOTE.authList)).payload)).to.deep.equal([0])
      expectRefused(await client.call(REMOTE.authSaslInit))
      expectRefused(await start(client, 'PLAIN', plain('fred', 'secret')))
    })

    it('polkit', async () => {
      expectRefused(await (await unix()).call(REMOTE.authPolkit))
    })

    for (const mechanism of ['ANONYMOUS', 'GSSAPI', 'plain\n', '', 'X'.repeat(100_000)]) {
      it(`choose the mechanism ${JSON.stringify(mechanism.slice(0, 20))}, which was not offered`, async () => {
        const client = await unix()
        await mechanisms(client)
        expectRefused(await start(client, mechanism, plain('fred', 'secret')))
        expectComplete(await login(client, 'fred', 'secret'))
      })
    }

    it('choose PLAIN on TCP', async () => {
      const client = await stage.connect()
      await mechanisms(client)
      expectRefused(await start(client, 'PLAIN', plain('fred', 'secret')))
    })

    const malformed: [string, string, Buffer | undefined][] = [
      ['nothing for PLAIN, which speaks first', 'PLAIN', undefined],
      ['empty data for PLAIN', 'PLAIN', Buffer.alloc(0)],
      ['PLAIN without separators', 'PLAIN', Buffer.from('fred secret')],
      ['PLAIN of zeros', 'PLAIN', Buffer.alloc(1000)],
      ['the most data there may be', 'PLAIN', randomBytes(MAX_SASL_BYTES)],
      ['noise for SCRAM', 'SCRAM-SHA-256', randomBytes(300)],
      ['a name of 60 kB', 'PLAIN', plain('f'.repeat(60_000), 'secret')]
    ]
    for (const [what, mechanism, data] of malformed) {
      it(`send ${what}`, async () => {
        const client = await unix()
        await mechanisms(client)
        const reply = await start(client, mechanism, data)
        if (reply.status === STATUS.ok) {
          // The mechanism waits for more, and gets noise.
          expect(decodeSaslReply(reply.payload).complete).to.equal(false)
          expectRefused(await client.call(REMOTE.authSaslStep, encodeSaslStep(randomBytes(300))))
        } else expectRefused(reply)
        expectComplete(await login(client, 'fred', 'secret'))
      })
    }

    it('send more data than the protocol has room for', async () => {
      const client = await unix()
      await mechanisms(client)
      const body = new XdrWriter().string('PLAIN').i32(0).chars(Buffer.alloc(MAX_SASL_BYTES + 1)).finish()
      const reply = await client.call(REMOTE.authSaslStart, body)
      expect(decodeError(reply.payload).message).to.equal('Unable to decode message payload')
      expectComplete(await start(client, 'PLAIN', plain('fred', 'secret')))
    })

    it('go on for ever: after five failures the connection ends', async () => {
      const client = await unix()
      for (let i = 0; i < 5; i++) expectRefused(await login(client, 'fred', `guess ${i}`))
      await client.end()
    })

    it('ask for something else before it is in', async () => {
      const client = await unix()
      await mechanisms(client)
      const reply = await client.open('qemu:///system')
      expect(decodeError(reply.payload).message).to.equal('authentication required')
    })
  })

  it('sorts 200 logins at once into right and wrong ones, and counts them', async () => {
    const before = await Metrics.of(metricsPort)
    const clients = await Promise.all(Array.from({ length: 200 }, unix))
    const replies = await Promise.all(
      clients.map((client, i) => login(client, 'fred', i % 10 === 3 ? 'wrong' : 'secret'))
    )
    for (const [i, reply] of replies.entries()) {
      if (i % 10 === 3) expectRefused(reply, `login ${i}`)
      else expectComplete(reply)
    }
    // The answer goes before it is counted.
    await waitFor('the counts', async () => {
      const after = await Metrics.of(metricsPort)
      const counted = (name: string, labels: Record<string, string>): number => after.value(name, labels)! - before.value(name, labels)!
      return [
        counted('auth_total', { method: 'sasl', outcome: 'ok' }), counted('auth_total', { method: 'sasl', outcome: 'refused' }),
        counted('refusals_total', { reason: 'auth' }), counted('auth_duration_seconds_count', { method: 'sasl' })
      ].join() === '180,20,20,180'
    })
    for (const client of clients) client.destroy()
  })
})

describe('a SASL password check that takes its time', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let sasl: SaslFiles
  /** Questions of libsasl2 to the password daemon that nobody has answered yet. */
  const asked: Socket[] = []
  let answering = true
  const yes = (socket: Socket): void => void socket.end(Buffer.from('\0\x02OK', 'latin1'))

  before(async () => {
    const dir = await tempDir(cleanup)
    const daemon = createServer({ allowHalfOpen: true }, socket => {
      socket.on('error', () => undefined)
      socket.once('data', () => (answering ? yes(socket) : asked.push(socket)))
    })
    daemon.listen(join(dir, 'mux'))
    await once(daemon, 'listening')
    cleanup.defer(() => Promise.resolve(daemon.close()))
    const options = ['pwcheck_method: saslauthd', `saslauthd_path: ${join(dir, 'mux')}`]
    sasl = await SaslFiles.create(cleanup, 'digest-md5 plain', options)
    await sasl.addUser('fred', 'secret')
    stage = await sasl.inUse(() => Stage.start(cleanup, { auth_tcp: 'sasl', auth_unix_rw: 'sasl', actor_threads: 1 }))
  })

  after(() => cleanup.run())

  it('stalls nobody who is already in, encrypted or not', async () => {
    const unix = await stage.connect(stage.broker.socket)
    expectComplete(await login(unix, 'any', 'thing'))
    await unix.open('qemu:///system')
    const env = { ...clientEnv, LIBVIRT_AUTH_FILE: await sasl.credentials('fred', 'secret') }
    const virsh = new Program(['virsh', '-q', '-c', stage.broker.tcpUri('qemu', '/system')], { env })
    cleanup.defer(() => virsh.stop())
    virsh.child.stdin.write('uri\n')
    await printed(virsh, /qemu\+tcp/)
    stage.driver.on(REMOTE.connectGetCapabilities, () => encodeText('<still-served/>'))

    answering = false
    const slow = await stage.connect(stage.broker.socket)
    await mechanisms(slow)
    const serial = slow.post(REMOTE.authSaslStart, encodeSaslStart({ mechanism: 'PLAIN', data: plain('a', 'b') }))
    await waitFor('the question to the password daemon', () => asked.length > 0)
    // The SASL thread is blocked by now: this one waits behind it, even for the list of mechanisms.
    const behind = await stage.connect(stage.broker.socket)
    const waiting = behind.post(REMOTE.authSaslInit)

    expect((await unix.call(REMOTE.connectGetLibVersion)).status).to.equal(STATUS.ok)
    virsh.child.stdin.write('capabilities\n')
    await printed(virsh, /still-served/)
    expect(decodeAuthList((await behind.call(REMOTE.authList)).payload)).to.deep.equal([1])
    expect(behind.take({ serial: waiting })).to.equal(undefined)

    // Somebody who has left is not waited for.
    const gone = await stage.connect(stage.broker.socket)
    gone.post(REMOTE.authSaslInit)
    gone.destroy()

    answering = true
    asked.forEach(yes)
    expectComplete(await slow.next({ serial }))
    expect((await behind.next({ serial: waiting })).status).to.equal(STATUS.ok)
  })
})

describe('many encrypted clients on several threads', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('all get their own bytes, while others log in all the time', async () => {
    const sasl = await SaslFiles.create(cleanup, 'digest-md5 plain')
    await sasl.addUser('fred', 'secret')
    const stage = await sasl.inUse(() => Stage.start(cleanup, {
      auth_tcp: 'sasl', auth_unix_rw: 'sasl', actor_threads: 4, max_anonymous_clients: 100
    }))
    const text = `<capabilities>${randomBytes(MEGABYTE / 8).toString('hex')}</capabilities>`
    stage.driver.on(REMOTE.connectGetCapabilities, () => encodeText(text))
    const env = { ...clientEnv, LIBVIRT_AUTH_FILE: await sasl.credentials('fred', 'secret') }
    let busy = true
    const hammer = async (): Promise<number> => {
      let count = 0
      for (; busy; count++) {
        const client = await stage.connect(stage.broker.socket)
        const right = count % 3 !== 0
        const reply = await login(client, 'fred', right ? 'secret' : 'wrong')
        if (right) expectComplete(reply)
        else expectRefused(reply)
        client.destroy()
      }
      return count
    }
    const logins = [hammer(), hammer(), hammer()]
    const repeated = Array.from({ length: 12 }, () => 'capabilities').join('; ')
    const outcomes = await Promise.all(Array.from({ length: 8 }, () =>
      run(['virsh', '-c', stage.broker.tcpUri('qemu', '/system'), repeated], { env, timeout: 50_000 })
    ))
    busy = false
    const counts = await Promise.all(logins)
    expect(Math.min(...counts)).to.be.greaterThan(3)
    for (const { stdout, stderr } of outcomes) {
      expect(stdout.split(text).length - 1, stderr).to.equal(12)
    }
  })
})

describe('a volume through SASL encryption', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('arrives as it was sent, up and down, at a real libvirtd', async () => {
    const host = await PrivateHost.start(cleanup)
    const daemon = await Libvirtd.start(host, cleanup, { drivers: ['storage'] })
    const sasl = await SaslFiles.create(cleanup, 'digest-md5')
    await sasl.addUser('fred', 'secret')
    const broker = await sasl.inUse(() =>
      Broker.start(cleanup, { auth_tcp: 'sasl', driver_sockets: [`*=${daemon.socket}`] })
    )
    const dir = await tempDir(cleanup)
    const bytes = randomBytes(24 * MEGABYTE)
    await writeFile(join(dir, 'up'), bytes)
    await mkdir(join(host.dir, 'pool'))
    const commands = [
      `pool-create-as big dir --target ${host.dir}/pool`,
      `vol-create-as big v ${bytes.length}`,
      `vol-upload v ${dir}/up --pool big`,
      `vol-download v ${dir}/down --pool big`
    ]
    const env = { ...clientEnv, LIBVIRT_AUTH_FILE: await sasl.credentials('fred', 'secret') }
    const { status, stderr } = await run(
      ['virsh', '-c', broker.tcpUri('storage', '/system'), commands.join('; ')], { env }
    )
    expect(status, stderr).to.equal(0)
    expect((await readFile(join(host.dir, 'pool/v'))).equals(bytes)).to.equal(true)
    expect((await readFile(join(dir, 'down'))).equals(bytes)).to.equal(true)
  })
})

describe('SASL over TLS', () => {
  const cleanup = new Cleanup()
  let sasl: SaslFiles
  let stage: Stage
  let uri: string

  before(async () => {
    const pki = await Pki.make(cleanup)
    const server = await pki.server()
    const pkipath = await pki.pkipath(await pki.client({ country: 'GB', cn: 'client1' }))
    sasl = await SaslFiles.create(cleanup, 'digest-md5 scram-sha-256 plain')
    await sasl.addUser('fred', 'secret')
    const port = await freePort()
    stage = await sasl.inUse(() => Stage.start(cleanup, {
      listen_tls: 1, tls_port: String(port), auth_tls: 'sasl',
      ca_file: pki.ca.certificate, cert_file: server.certificate, key_file: server.key
    }))
    await waitFor('the TLS listener', () => canConnect(port))
    uri = `qemu+tls://127.0.0.1:${port}/system?pkipath=${pkipath}&no_sanity=1&auth=sasl.`
  })

  after(() => cleanup.run())

  for (const mechanism of ['SCRAM-SHA-256', 'PLAIN', 'DIGEST-MD5']) {
    it(`lets virsh in with ${mechanism}, and the driver daemon hears both names`, async () => {
      const login = async (password: string): Promise<Outcome> =>
        run(['virsh', '-c', uri + mechanism, 'uri'], {
          env: { ...clientEnv, LIBVIRT_AUTH_FILE: await sasl.credentials('fred', password) }
        })
      const { stdout, stderr } = await login('secret')
      expect(stdout, stderr).to.contain('qemu+tls')
      expect(stage.driver.identities.at(-1)).to.deep.equal({ saslUserName: 'fred', x509DistinguishedName: 'C=GB,CN=client1' })
      expect((await login('wrong')).stderr).to.contain('authentication failed: authentication failed')
    })
  }
})

describe('Kerberos', () => {
  const cleanup = new Cleanup()
  let kdc: Kdc
  let stage: Stage

  before(async () => {
    kdc = await Kdc.start(cleanup)
    await kdc.addUser('fred', 'secret')
    await kdc.addUser('eve', 'secret')
    const sasl = await SaslFiles.create(cleanup, 'gssapi', [`keytab: ${kdc.keytab}`])
    // The library reads the environment of the process, and so do we.
    Object.assign(process.env, { KRB5_CONFIG: kdc.env.KRB5_CONFIG, KRB5RCACHEDIR: kdc.dir })
    stage = await sasl.inUse(() => Stage.start(cleanup, {
      auth_tcp: 'sasl', auth_unix_rw: 'sasl', sasl_allowed_username_list: ['fred']
    }))
    delete process.env['KRB5_CONFIG']
    delete process.env['KRB5RCACHEDIR']
  })

  after(() => cleanup.run())

  const virsh = (uri: string, env: NodeJS.ProcessEnv, command: string): Promise<Outcome> =>
    run(['virsh', '-c', uri, command], { env: { ...clientEnv, ...env } })

  it('lets a user with a ticket in, over TCP with encryption and over UNIX', async () => {
    const ticket = await kdc.ticket('fred', 'secret')
    const text = `<capabilities>${randomBytes(MEGABYTE).toString('hex')}</capabilities>`
    stage.driver.on(REMOTE.connectGetCapabilities, () => encodeText(text))
    const uris = [`qemu+tcp://localhost:${stage.broker.tcpPort}/system`, stage.broker.unixUri('qemu', '/system')]
    for (const uri of uris) {
      const { stdout, stderr } = await virsh(uri, ticket, 'capabilities')
      expect(stdout.trim() === text, stderr).to.equal(true)
      expect(stage.driver.identities.at(-1)!.saslUserName).to.equal('fred')
    }
  })

  it('keeps out who has no ticket, or is not on the list', async () => {
    const uri = `qemu+tcp://localhost:${stage.broker.tcpPort}/system`
    expect((await virsh(uri, kdc.env, 'uri')).status).to.equal(1)
    const { stderr } = await virsh(uri, await kdc.ticket('eve', 'secret'), 'uri')
    expect(stderr).to.contain('authentication failed: authentication failed')
  })
})

describe('SASL that cannot be had', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('a library that cannot be loaded is an error of the start, for those who want SASL', async () => {
    const dir = await tempDir(cleanup)
    const hide = 'for f in /usr/lib/*/libsasl2.so.2; do mount --bind /dev/null $f; done; exec "$@"'
    const isolated = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', hide, 'sh']
    const program = new URL('../../../dist/main/virtbrokerd.js', import.meta.url).pathname
    const startWith = async (auth: string): Promise<Program> => {
      const conf = join(dir, `${auth}.conf`)
      await writeFile(conf, confText({ unix_sock_dir: dir, auth_unix_rw: auth, auth_unix_ro: 'none', log_level: 2 }))
      const broker = new Program([...isolated, process.execPath, program, '-f', conf, '-p', join(dir, 'pid')])
      cleanup.defer(() => broker.stop())
      return broker
    }
    const wanting = await startWith('sasl')
    expect((await wanting.exited).status).to.equal(6)
    expect(wanting.stderr).to.match(/auth_unix_rw = "sasl" needs libsasl2: .*libsasl2\.so\.2/)
    const other = await startWith('none')
    await waitFor('the start without SASL', () => other.stderr.includes('ready, with'))
  })

  it('a strength that no mechanism has leaves none to offer', async () => {
    const sasl = await SaslFiles.create(cleanup, 'digest-md5 plain')
    const stage = await sasl.inUse(() => Stage.start(cleanup, { auth_tcp: 'sasl', tcp_min_ssf: 256 }))
    expectRefused(await (await stage.connect()).call(REMOTE.authSaslInit))
  })

  it('mechanisms that do not exist leave none to offer', async () => {
    const sasl = await SaslFiles.create(cleanup, 'no-such-mechanism')
    const stage = await sasl.inUse(() => Stage.start(cleanup, { auth_unix_rw: 'sasl' }))
    expectRefused(await (await stage.connect(stage.broker.socket)).call(REMOTE.authSaslInit))
  })

  it('an empty list of names lets nobody in', async () => {
    const sasl = await SaslFiles.create(cleanup, 'plain')
    await sasl.addUser('fred', 'secret')
    const conf = { auth_unix_rw: 'sasl', sasl_allowed_username_list: [] }
    const stage = await sasl.inUse(() => Stage.start(cleanup, conf))
    expectRefused(await login(await stage.connect(stage.broker.socket), 'fred', 'secret'))
  })
})
