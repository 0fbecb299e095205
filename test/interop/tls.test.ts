import { createConnection, type Socket } from 'node:net'
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { decodeSetIdentity } from '#protocol/identity.js'
import { REMOTE } from '#protocol/procedures.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv } from '../support/clients.js'
import type { Conf } from '../support/conf-file.js'
import { FakeDriver } from '../support/fake-driver.js'
import { freePort } from '../support/free-port.js'
import { Libvirtd } from '../support/libvirtd.js'
import { pattern } from '../support/pattern.js'
import { PrivateHost } from '../support/private-host.js'
import { Pki, type Credentials } from '../support/pki.js'
import { run, type Outcome } from '../support/processes.js'
import { SilentCrowd } from '../support/silent-crowd.js'
import { canConnect } from '../support/sockets.js'
import { tempDir } from '../support/temp-dir.js'
import { confirmed, rawTlsClient } from '../support/tls-client.js'
import { waitFor } from '../support/waiting.js'

const REFUSED = 'Unable to read TLS confirmation: Input/output error'

const closing = (socket: Socket): Promise<void> =>
  new Promise(resolve => void socket.resume().once('close', () => resolve()))

describe('TLS', () => {
  const cleanup = new Cleanup()
  let pki: Pki
  let server: Credentials
  let good: Credentials
  let libvirtd: string
  let driver: FakeDriver

  before(async () => {
    pki = await Pki.make(cleanup)
    server = await pki.server()
    good = await pki.client({ country: 'GB', organization: 'Red Hat', cn: 'client1' })
    libvirtd = (await Libvirtd.start(await PrivateHost.start(cleanup), cleanup, { drivers: [] })).socket
    driver = await FakeDriver.listen(cleanup, join(await tempDir(cleanup), 'virtqemud-sock'))
  })

  after(() => cleanup.run())

  /** A broker with TLS alone beside its usual listeners, and the port of that. */
  async function startBroker(conf: Conf = {}): Promise<{ broker: Broker; port: number }> {
    const port = await freePort()
    const broker = await Broker.start(cleanup, {
      listen_tls: 1,
      tls_port: String(port),
      ca_file: pki.ca.certificate,
      ...('cert_files' in conf ? {} : { cert_file: server.certificate, key_file: server.key }),
      driver_sockets: [`qemu=${driver.path}`, `*=${libvirtd}`],
      // Handshakes of a crowd compete with their own clients for this machine.
      login_timeout: 20,
      ...conf
    })
    await waitFor('the TLS listener', () => canConnect(port))
    return { broker, port }
  }

  /** `more`: further parameters of the URI. Our own checks are what is tested, so the client does not check its files. */
  async function virsh(port: number, credentials?: Credentials, more = '', driverName = 'test'): Promise<Outcome> {
    const pkipath = await pki.pkipath(credentials)
    const path = driverName === 'test' ? '/default' : '/system'
    const uri = `${driverName}+tls://127.0.0.1:${port}${path}?no_sanity=1&pkipath=${pkipath}${more}`
    return run(['virsh', '-c', uri, 'uri'], { env: clientEnv })
  }

  async function expectIn(port: number, credentials?: Credentials, more = ''): Promise<void> {
    const { stdout, stderr } = await virsh(port, credentials, more)
    expect(stderr + stdout).to.match(/^test\+tls:/)
  }

  /** The client sees the connection close, the broker's log says who it was and why. */
  async function expectOut(
    { broker, port }: { broker: Broker; port: number },
    credentials: Credentials | undefined,
    why: RegExp,
    more = ''
  ): Promise<void> {
    const before = broker.program.stderr.length
    const { status, stderr } = await virsh(port, credentials, more)
    expect(stderr).to.contain(REFUSED)
    expect(status).to.equal(1)
    const log = await waitFor('the log', () => broker.program.stderr.slice(before).match(/client \d+ at .*/)?.[0])
    expect(log).to.match(/client \d+ at 127\.0\.0\.1:\d+: /)
    expect(log).to.match(why)
  }

  describe('with an authority and a revocation list', () => {
    let place: { broker: Broker; port: number }
    let revoked: Credentials

    before(async () => {
      revoked = await pki.client({ cn: 'revoked' })
      place = await startBroker({ crl_file: await pki.revoke([revoked.certificate]) })
    })

    it('lets a client with a good certificate in', () => expectIn(place.port, good))

    it('lets a client with a certificate of openssl in', async () => {
      const extensions = ['keyUsage = critical,digitalSignature,keyEncipherment', 'extendedKeyUsage = clientAuth']
      await expectIn(place.port, await pki.opensslClient('/C=GB/CN=openssl', extensions))
    })

    it('lets a client with a bare certificate in, which allows everything', async () =>
      expectIn(place.port, await pki.opensslClient('/CN=bare', ['basicConstraints = CA:FALSE'], 'ecdsa')))

    it('serves libvirt\'s Python binding', async () => {
      const uri = `test+tls://127.0.0.1:${place.port}/default?no_sanity=1&pkipath=${await pki.pkipath(good)}`
      const script = `import libvirt; print(libvirt.open("${uri}").listAllDomains()[0].name())`
      const { stdout, stderr } = await run(['/usr/bin/python3', '-c', script], { env: clientEnv })
      expect(stdout + stderr).to.equal('test\n')
    })

    it('speaks TLS 1.2 with a client that knows no other', () =>
      expectIn(place.port, good, '&tls_priority=NORMAL:-VERS-ALL:%2BVERS-TLS1.2'))

    it('speaks TLS 1.3 with a client that knows no other, time after time', async () => {
      for (let i = 0; i < 10; i++) await expectIn(place.port, good, '&tls_priority=NORMAL:-VERS-ALL:%2BVERS-TLS1.3')
    })

    it('does not speak TLS 1.1', async () => {
      const { stderr } = await virsh(place.port, good, '&tls_priority=NORMAL:-VERS-ALL:%2BVERS-TLS1.1')
      expect(stderr).to.contain('TLS handshake failed')
    })

    it('carries long replies whole', async () => {
      const pkipath = await pki.pkipath(good)
      const uri = `test+tls://127.0.0.1:${place.port}/default?no_sanity=1&pkipath=${pkipath}`
      const about = 'x'.repeat(300_000)
      const xml = join(await tempDir(cleanup), 'long.xml')
      const os = '<os><type>hvm</type></os><memory>8192</memory>'
      await writeFile(xml, `<domain type='test'><name>long</name><description>${about}</description>${os}</domain>`)
      const { stdout, stderr } = await run(['virsh', '-c', uri, `define ${xml}; dumpxml long; undefine long`], { env: clientEnv })
      expect(stderr).to.equal('')
      expect(stdout).to.contain(about)
    })

    it('refuses a client without a certificate', () => expectOut(place, undefined, /No certificate was found/))

    it('refuses a certificate of another authority', async () => {
      const other = await pki.authority('Other CA')
      const credentials = await pki.client({ cn: 'stranger' }, { by: other })
      await expectOut(place, credentials, /hasn't got a known issuer.*\(CN=stranger\)/)
    })

    it('refuses a self-signed certificate', async () => {
      const self = await pki.authority('self', { signing_key: true })
      await expectOut(place, self, /hasn't got a known issuer.*\(CN=self\)/)
    })

    it('refuses an expired certificate', async () => {
      const dates = { activation_date: '2020-01-01 00:00:00', expiration_date: '2021-01-01 00:00:00' }
      await expectOut(place, await pki.client({ cn: 'old', ...dates }), /not trusted.*has expired.*\(CN=old\)/)
    })

    it('refuses a certificate that is not valid yet', async () => {
      const dates = { activation_date: '2040-01-01 00:00:00', expiration_date: '2041-01-01 00:00:00' }
      await expectOut(place, await pki.client({ cn: 'early', ...dates }), /not trusted.*not yet valid.*\(CN=early\)/)
    })

    it('refuses a revoked certificate, by a list that its authority may not even sign', () =>
      expectOut(place, revoked, /has been revoked.*\(CN=revoked\)/))

    it('refuses a client that is an authority', async () => {
      const authority = await pki.client({ cn: 'half a CA', ca: true })
      await expectOut(place, authority, /basic constraints show a CA, but we need one for a client \(CN=half a CA\)/)
    })

    it('refuses a certificate for servers only, if it says so in earnest', async () => {
      const credentials = await pki.opensslClient('/CN=server', ['extendedKeyUsage = critical,serverAuth'])
      await expectOut(place, credentials, /purpose does not allow use for with a TLS client \(CN=server\)/)
    })

    it('lets a certificate for servers in if that is only advice, and warns', async () => {
      await expectIn(place.port, await pki.opensslClient('/CN=adviser', ['extendedKeyUsage = serverAuth']))
      const warning = /warning.*purpose does not allow.*\(CN=adviser\)/
      await waitFor('the warning', () => warning.test(place.broker.program.stderr))
    })

    it('refuses an RSA certificate whose key may not encipher', async () => {
      const credentials = await pki.opensslClient('/CN=signer', ['keyUsage = critical,digitalSignature'])
      await expectOut(place, credentials, /usage does not permit key encipherment \(CN=signer\)/)
    })

    it('follows a chain that the client sends', async () => {
      const by = await pki.intermediate('Sub CA')
      await expectIn(place.port, await pki.client({ cn: 'below' }, { by }))
    })

    it('tells the driver daemon the name in the certificate', async () => {
      const connected = driver.nextConnection()
      const [, connection] = await Promise.all([virsh(place.port, good, '', 'qemu'), connected])
      const call = connection.calls.find(({ proc }) => proc === REMOTE.connectSetIdentity)!
      expect(decodeSetIdentity(call.payload)).to.deep.equal({ x509DistinguishedName: 'C=GB,O=Red Hat,CN=client1' })
    })

    it('carries long calls and replies whole, also to a client that reads late', async () => {
      const client = await rawTlsClient(cleanup, place.port, good)
      await client.open('qemu:///system')
      const payloads = Array.from({ length: 4 }, (_, i) => pattern(2_000_000 + i, i))
      client.stall()
      const serials = payloads.map(payload => client.post(REMOTE.domainDefineXml, payload))
      await waitFor('a call at the daemon', () => driver.latest.serialsOf(REMOTE.domainDefineXml).length > 0)
      client.goOn()
      for (const [i, serial] of serials.entries()) {
        const { payload } = await client.next({ serial }, 15_000)
        expect(payload.equals(payloads[i]!), `reply ${i} is what was sent`).to.equal(true)
      }
      client.destroy()
    })

    it('gets over clients that leave in the middle of a long reply', async () => {
      for (let i = 0; i < 10; i++) {
        const client = await rawTlsClient(cleanup, place.port, good)
        await client.open('qemu:///system')
        client.stall()
        for (let call = 0; call < 4; call++) client.post(REMOTE.domainDefineXml, Buffer.alloc(2_000_000))
        await sleep(20 * i)
        client.destroy()
      }
      await expectIn(place.port, good)
    })

    it('closes a connection that does not speak TLS, and serves on', async () => {
      const socket = createConnection(place.port, '127.0.0.1').on('error', () => undefined)
      socket.write('GET / HTTP/1.0\r\n\r\n')
      await closing(socket)
      await waitFor('the log', () => /TLS handshake failed: http request/.test(place.broker.program.stderr))
      await expectIn(place.port, good)
    })

    it('ends at garbage within the connection, and serves others on', async () => {
      const socket = createConnection(place.port, '127.0.0.1').on('error', () => undefined)
      socket.write(Buffer.concat([Buffer.from([0x16, 3, 1, 0x40, 0]), Buffer.alloc(0x4000, 7)]))
      await closing(socket)
      await expectIn(place.port, good)
    })
  })

  it('closes silent handshakes for others, and nobody who has a certificate', async () => {
    const { broker, port } = await startBroker({ max_handshakes: 8 })
    const first = await confirmed(port, good)
    const silent = new SilentCrowd(cleanup)
    await silent.join(40, port)
    for (let i = 0; i < 5; i++) (await confirmed(port, good)).destroy()
    expect(first.closed).to.equal(false)
    first.destroy()
    silent.leave()
    await broker.program.hasSaid(/a connection of address 127.0.0.1 that is not logged in is closed for another/)
  })

  describe('with a list of allowed names', () => {
    let place: { broker: Broker; port: number }

    before(async () => {
      place = await startBroker({
        tls_allowed_dn_list: [
          'C=GB,O=Red Hat,CN=*',
          'O=Käse\\, Wurst & Söhne,OU=Team  One,CN=exact+OU=Straße',
          'CN=client?'
        ]
      })
    })

    it('lets a name in that fits a pattern', () => expectIn(place.port, good))

    it('counts the one character of a question mark in UTF-8', async () =>
      expectIn(place.port, await pki.client({ cn: 'clientß' })))

    it('lets a name in with units, spaces, commas and letters of all kinds', async () => {
      const subject = '/O=Käse, Wurst & Söhne/OU=Team  One/CN=exact+OU=Straße'
      await expectIn(place.port, await pki.opensslClient(subject, ['basicConstraints = CA:FALSE']))
    })

    it('refuses other names', async () => {
      const out = (credentials: Credentials, name: string): Promise<void> =>
        expectOut(place, credentials, new RegExp(`not on the list of allowed clients .*\\(${name}\\)$`))
      await out(await pki.client({ cn: 'client12' }), 'CN=client12')
      await out(await pki.client({ cn: 'client' }), 'CN=client')
      await out(await pki.client({ country: 'GB', organization: 'red hat', cn: 'x' }), 'C=GB,O=red hat,CN=x')
      await out(await pki.client({ unit: 'A, B', cn: 'client1' }), 'OU=A\\\\, B,CN=client1')
    })
  })

  it('lets everybody in, nameless, where certificates are not to be verified', async () => {
    const { broker, port } = await startBroker({ tls_no_verify_certificate: 1, tls_allowed_dn_list: [] })
    await expectIn(port)
    const connected = driver.nextConnection()
    const [, connection] = await Promise.all([virsh(port, good, '', 'qemu'), connected])
    const call = connection.calls.find(({ proc }) => proc === REMOTE.connectSetIdentity)!
    expect(decodeSetIdentity(call.payload)).to.deep.equal({ x509DistinguishedName: '' })
    for (const why of ['No certificate was found', 'not on the list of allowed clients']) {
      await waitFor('the log', () => broker.program.stderr.includes(why))
    }
  })

  it('trusts an authority that is not its own issuer, if the list names it', async () => {
    const sub = await pki.intermediate('Sub CA')
    const by = { key: sub.key, certificate: sub.certificate }
    const own = await pki.server({}, { by, kind: 'ecdsa' })
    const { port } = await startBroker({ ca_file: sub.certificate, cert_file: own.certificate, key_file: own.key })
    await confirmed(port, await pki.client({}, { by })).then(socket => socket.destroy())
  })

  it('takes certificates of several kinds', async () => {
    const second = await pki.server({}, { kind: 'ecdsa' })
    const { port } = await startBroker({
      cert_files: [server.certificate, second.certificate],
      key_files: [server.key, second.key]
    })
    const kind = async (sigalgs: string): Promise<string | undefined> => {
      const socket = await confirmed(port, good, { sigalgs })
      const { asn1Curve } = socket.getPeerCertificate() as { asn1Curve?: string }
      socket.destroy()
      return asn1Curve
    }
    expect(await kind('RSA-PSS+SHA256:ECDSA+SHA256')).to.equal(undefined)
    expect(await kind('ECDSA+SHA256:RSA-PSS+SHA256')).to.equal('prime256v1')
  })

  it('refuses a client whose key is too weak for tls_priority, and says so', async () => {
    const place = await startBroker({ tls_priority: 'NORMAL:%PROFILE_MEDIUM' })
    await expectIn(place.port, await pki.client({ cn: 'strong' }, { kind: 'rsa' }))
    const weak = await pki.client({ cn: 'weak' }, { kind: 'rsa-1024' })
    const why = /The certificate uses an insecure algorithm \(an RSA key of 1024 bits, and 2048 are wanted\) \(CN=weak\)$/
    await expectOut(place, weak, why)
  })

  it('insists on the extended master secret where tls_priority does', async () => {
    const { broker, port } = await startBroker({ tls_priority: 'NORMAL:%FORCE_SESSION_HASH' })
    await expectIn(port, good)
    await expectIn(port, good, '&tls_priority=NORMAL:-VERS-TLS1.3')
    expect((await virsh(port, good, '&tls_priority=NORMAL:-VERS-TLS1.3:%25NO_SESSION_HASH')).status).to.equal(1)
    await waitFor('the log', () => broker.program.stderr.includes('TLS handshake failed: no extended master secret'))
  })

  it('exchanges keys over finite fields where tls_priority wants that', async () => {
    const { port } = await startBroker({ tls_priority: 'NORMAL:-KX-ALL:+DHE-RSA:-GROUP-ALL:+GROUP-DH-ALL' })
    await expectIn(port, good)
    const rsa = await pki.client({ cn: 'rsa' }, { kind: 'rsa' })
    await expectIn(port, rsa, '&tls_priority=NORMAL:-VERS-TLS1.3:-KX-ALL:%2BDHE-RSA')
  })

  it('closes a handshake that does not come to its end', async () => {
    const { broker, port } = await startBroker({ login_timeout: 1 })
    const socket = createConnection(port, '127.0.0.1')
    const begun = performance.now()
    await closing(socket)
    expect(performance.now() - begun).to.be.above(800)
    await waitFor('the log', () => broker.program.stderr.includes('TLS handshake not done in time'))
  })

  describe('when files change', () => {
    let files: { ca_file: string; cert_file: string; key_file: string; crl_file: string }
    let victim: Credentials

    before(async () => {
      victim = await pki.client({ cn: 'victim' })
    })

    async function startWithFiles(conf: Conf = {}): Promise<{ broker: Broker; port: number }> {
      const dir = await tempDir(cleanup)
      const at = (name: string): string => join(dir, name)
      files = { ca_file: at('ca'), cert_file: at('cert'), key_file: at('key'), crl_file: at('crl') }
      await copyFile(pki.ca.certificate, files.ca_file)
      await copyFile(server.certificate, files.cert_file)
      await copyFile(server.key, files.key_file)
      return startBroker({ ...files, ...conf })
    }

    async function serverName(port: number): Promise<string | undefined> {
      const socket = await confirmed(port, good)
      const { subject } = socket.getPeerCertificate()
      socket.destroy()
      return subject.O as string | undefined
    }

    const hasLogged = (broker: Broker, text: string, patience = 30_000): Promise<unknown> =>
      waitFor(`'${text}' in the log`, () => broker.program.stderr.includes(text), patience)

    it('goes on with 100 active clients at SIGHUP, and has new ones meet the new files', async () => {
      const { broker, port } = await startWithFiles({ log_level: 2 })
      const clients = await Promise.all(
        Array.from({ length: 100 }, (_, i) => rawTlsClient(cleanup, port, i === 0 ? victim : good))
      )
      await Promise.all(clients.map(client => client.open('qemu:///system')))
      let going = true
      const calls = clients.map(() => 0)
      const calling = clients.map(async (client, index) => {
        for (; going; calls[index]!++) {
          expect((await client.call(REMOTE.connectGetLibVersion)).status).to.equal(STATUS.ok)
        }
      })
      const renewed = await pki.server({ organization: 'renewed' })
      await copyFile(renewed.certificate, files.cert_file)
      await copyFile(await pki.revoke([victim.certificate]), files.crl_file)
      broker.program.child.kill('SIGHUP')
      await hasLogged(broker, 'TLS files loaded anew')
      expect(await serverName(port)).to.equal('renewed')
      await confirmed(port, victim).then(
        () => expect.fail('a revoked client was let in'),
        (error: Error) => expect(error.message).to.equal('the server closed the connection')
      )
      const before = [...calls]
      await waitFor('two more calls of each', () => calls.every((count, index) => count > before[index]! + 1))
      going = false
      await Promise.all(calling)
      for (const client of clients) client.destroy()
    })

    it('keeps the old files when the new ones do not fit together', async () => {
      const { broker, port } = await startWithFiles()
      await copyFile((await pki.server({ organization: 'broken' }, { kind: 'ecdsa' })).certificate, files.cert_file)
      broker.program.child.kill('SIGHUP')
      await hasLogged(broker, 'TLS files not loaded anew, the old ones stay in use')
      await hasLogged(broker, 'The certificate and the given key do not match')
      expect(await serverName(port)).to.equal(undefined)
    })

    for (const [when, conf] of [['', { tls_watch_files: 1 }], [' while it runs', {}]] as const) {
      it(`sees by itself that files have changed, if it is told to look${when}`, async () => {
        const { broker, port } = await startWithFiles({ ...conf, log_level: 2 })
        if (when !== '') await broker.reload({ tls_watch_files: 1 })
        const loads = (): number => broker.program.stderr.split('TLS files loaded anew').length
        const before = loads()
        const { certificate } = await pki.server({ organization: 'seen' })
        await copyFile(certificate, files.cert_file)
        // If that came before the broker's first look, there was no change to see.
        await waitFor('the files to be loaded', () => loads() > before, 8000).catch(() => copyFile(certificate, files.cert_file))
        await waitFor('the files to be loaded', () => loads() > before)
        expect(await serverName(port)).to.equal('seen')
      })
    }

    it('takes other files when its configuration names them, for clients that come from then on', async () => {
      const { broker, port } = await startWithFiles({ log_level: 2 })
      expect(await serverName(port)).to.equal(undefined)
      const other = await pki.server({ organization: 'other' })
      await broker.reload({ cert_file: other.certificate, key_file: other.key })
      expect(await serverName(port)).to.equal('other')
      await broker.reload({ cert_file: other.certificate, key_file: other.key, tls_allowed_dn_list: ['CN=nobody'] })
      await confirmed(port, good).then(
        () => expect.fail('let in'),
        (error: Error) => expect(error.message).to.equal('the server closed the connection')
      )
    })
  })
})
