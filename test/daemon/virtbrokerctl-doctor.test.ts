import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import type { PassedSockets } from '#main/config/listeners.js'
import { configuration } from '#main/ctl/doctor/configuration.js'
import type { Finding } from '#main/ctl/doctor/finding.js'
import { places } from '#main/ctl/doctor/places.js'
import { Cleanup } from '../support/cleanup.js'
import { confText, type Conf } from '../support/conf-file.js'
import { Ctl } from '../support/ctl.js'
import { FakeDriver } from '../support/fake-driver.js'
import { freePort } from '../support/free-port.js'
import { Pki } from '../support/pki.js'
import { Stage } from '../support/stage.js'

describe('virtbrokerctl doctor', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let ctl: Ctl
  afterEach(() => cleanup.run())

  async function start(conf: Conf = {}): Promise<void> {
    stage = await Stage.start(cleanup, conf)
    ctl = new Ctl(cleanup, stage.broker)
  }

  /** Findings of each check as `level: what`. */
  async function examine(...args: string[]) {
    const { status, stdout, stderr } = await ctl.run('doctor', '--json', ...args)
    expect(stderr).to.equal('')
    const findings = JSON.parse(stdout) as Finding[]
    const of = (check: string): string[] => findings.filter(found => found.check === check).map(({ level, what }) => `${level}: ${what}`)
    return { status, findings, of }
  }

  const file = (): string => join(stage.broker.dir, 'broker.conf')

  it('finds a broker that runs, with its own configuration, in order', async () => {
    await start()
    const { dir, tcpPort, program: { pid } } = stage.broker
    const { status, of } = await examine()
    expect(of('broker')[0]).to.match(new RegExp(`^ok: virtbrokerd \\S+, process ${pid}, is serving: 0 clients, \\d+ threads$`))
    expect(of('configuration')).to.include(`ok: ${file()}`)
    expect(of('open files')[0]).to.match(/^ok: the limit of \d+ has room for 5000 clients/)
    expect(of('certificates')).to.deep.equal(['ok: TLS is off'])
    for (const name of ['libvirt-sock', 'libvirt-sock-ro', 'libvirt-admin-sock']) {
      expect(of('sockets')).to.include(`ok: ${join(dir, name)}: virtbrokerd (process ${pid})`)
    }
    expect(of('ports')).to.deep.equal([`ok: 127.0.0.1:${tcpPort} (tcp): virtbrokerd (process ${pid})`])
    expect(of('drivers')).to.have.length(1)
    expect(of('drivers')[0]).to.match(new RegExp(`^ok: ${stage.driver.path}: .*\\(process ${process.pid}\\b`))
    expect(of('node')).to.deep.equal([`ok: ${process.versions.node}`])
    expect(of('units')).not.to.be.empty
    expect(status).to.equal(0)
    expect(await ctl.ok('doctor')).to.match(/^ok {2}node +\d+\./)
  })

  it('works without a broker, and says what it would miss', async () => {
    await start()
    await stage.broker.program.stop()
    const before = await examine('-f', file())
    expect(before.of('broker')[0]).to.match(/^note: none answers: .*ENOENT/)
    expect(before.of('ports')[0]).to.match(/^note: .*nobody listens$/)
    expect(before.status).to.equal(0)
    const port = String(await freePort())
    await writeFile(file(), confText({ ...stage.broker.conf, driver_socket_dir: '/nonexistent', tcp_port: port }))
    const after = await examine('-f', file())
    expect(after.of('drivers')).to.deep.equal(['problem: there is no socket of a driver daemon in /nonexistent'])
    expect(after.status).to.equal(4)
  })

  it('says who has what the configuration wants', async () => {
    await start()
    await stage.broker.program.stop()
    await FakeDriver.listen(cleanup, stage.broker.socket)
    const { status, findings } = await examine('-f', file())
    const found = findings.find(({ check, level }) => check === 'sockets' && level === 'problem')!
    expect(found.what).to.match(new RegExp(`^${stage.broker.socket}: .*\\(process ${process.pid}\\b.*, and the configuration wants it$`))
    expect(found.advice).to.contain('unix_sock_dir')
    expect(status).to.equal(4)
  })

  it('says what is wrong with a configuration, and that a running broker could not load it', async () => {
    await start()
    await writeFile(file(), 'max_clients = = 3\n')
    await ctl.run('reload')
    const { status, of } = await examine()
    expect(of('configuration')[0]).to.match(/^problem: .*syntax error/)
    expect(of('broker')[1]).to.match(/^problem: configuration not loaded anew: .*syntax error/)
    expect(status).to.equal(4)
    expect((await ctl.run('doctor')).stdout).to.match(/^DO {2}configuration .*syntax error.* -> correct the file$/m)
  })

  it('looks at certificates: when they end, and whether they fit', async () => {
    const pki = await Pki.make(cleanup)
    const soon = await pki.server({ expiration_days: 3 })
    const near = await pki.server({ expiration_days: 20 })
    const later = await pki.server({ expiration_days: 300 })
    const conf = { listen_tls: 1, tls_port: String(await freePort()), auth_tls: 'none', ca_file: pki.ca.certificate }
    await start({ ...conf, cert_file: later.certificate, key_file: later.key })
    const certificates = async ({ certificate, key }: typeof soon): Promise<string> => {
      await writeFile(file(), confText({ ...stage.broker.conf, cert_file: certificate, key_file: key }))
      const { of } = await examine()
      return of('certificates')[0] ?? of('configuration').find(what => what.startsWith('problem'))!
    }
    expect(await certificates(later)).to.match(/^ok: .* \(server\) ends \d{4}-\d\d-\d\d, in (299|300) days; chain and key fit$/)
    expect(await certificates(near)).to.match(/^note: .* in (19|20) days$/)
    expect(await certificates(soon)).to.match(/^problem: .* in [23] days$/)
    const other = await pki.key('ecdsa', 'other')
    expect(await certificates({ certificate: later.certificate, key: other })).to.match(/^problem: .*do not match/)
    const stranger = await pki.authority('Other CA')
    expect(await certificates(await pki.server({}, { by: stranger }))).to.match(/^problem: Our own certificate .* failed validation/)
  })

  it("looks at those for a TLS socket of systemd's, and at its port, whatever listen_tls says", async () => {
    const pki = await Pki.make(cleanup)
    const { certificate, key } = await pki.server({ expiration_days: 300 })
    await start()
    const files = { ca_file: pki.ca.certificate, cert_file: certificate, key_file: key }
    await writeFile(file(), confText({ ...stage.broker.conf, ...files, listen_tls: 0, auth_tls: 'none' }))
    const port = await freePort()
    const passed: PassedSockets = new Map([
      ['main', [{ fd: -1, place: stage.broker.socket, reach: { mode: 0o600 } }]],
      ['tls', [{ fd: -1, place: `127.0.0.1:${port}`, reach: { ip: '127.0.0.1' } }]]
    ])
    const found = async (sockets: PassedSockets | undefined): Promise<string[]> => {
      const { config, findings } = await configuration(file(), sockets)
      return [...findings, ...(await places(config!, false))].map(({ check, what }) => `${check}: ${what}`)
    }
    const withSocket = await found(passed)
    expect(withSocket.find(what => what.startsWith('certificates'))).to.contain(`${certificate} (server) ends `)
    expect(withSocket).to.include(`ports: 127.0.0.1:${port} (tls): nobody listens`)
    expect(withSocket.join('\n')).not.to.contain('there is no use for ca_file')
    const without = await found(undefined)
    expect(without).to.include('certificates: TLS is off')
    expect(without.join('\n')).to.contain('there is no use for ca_file')
  })
})
