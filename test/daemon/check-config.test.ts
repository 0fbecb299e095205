import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { brokerCommand, brokerFiles, type BrokerFiles } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { FakeDriver } from '../support/fake-driver.js'
import { freePort } from '../support/free-port.js'
import { Pki } from '../support/pki.js'
import { type Outcome, Program, run } from '../support/processes.js'
import { SaslFiles } from '../support/sasl.js'
import { canConnect } from '../support/sockets.js'
import { waitFor } from '../support/waiting.js'

describe('--check-config', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let pki: Pki
  let port: string
  before(async () => {
    pki = await Pki.make(cleanup)
    port = String(await freePort())
  })
  after(() => cleanup.run())

  const command = (files: BrokerFiles, ...args: string[]): string[] =>
    brokerCommand('-f', files.file, '-p', files.pidFile, ...args)

  /** What it says; it must leave nothing behind. */
  async function checked(files: BrokerFiles): Promise<Outcome> {
    const before = readdirSync(files.dir)
    const outcome = await run(command(files, '--check-config'))
    expect(readdirSync(files.dir)).to.deep.equal(before)
    return outcome
  }

  /** The log of a start that is ended as soon as its sockets are there. */
  async function started(files: BrokerFiles): Promise<string> {
    const program = new Program(command(files))
    cleanup.defer(() => program.stop())
    await waitFor('the socket', () => {
      if (program.ended) throw new Error(program.describe())
      return canConnect(join(files.dir, 'libvirt-sock-ro'))
    })
    await program.stop()
    return program.stderr
  }

  const tls = async (): Promise<Conf> => {
    const { certificate, key } = await pki.server()
    return { listen_tls: 1, tls_port: port, ca_file: pki.ca.certificate, cert_file: certificate, key_file: key }
  }

  /** Configurations that neither can use, with the exit code and the reason of both. */
  const unusable: [string, () => Conf | Promise<Conf>, number, string][] = [
    ['a group that does not exist', () => ({ unix_sock_group: 'no-such-group' }), 6, 'no-such-group'],
    ['a log in a missing directory', () => ({ log_outputs: '1:file:/no/such/log' }), 1,
      'failed to open /no/such/log: No such file or directory'],
    ['an audit in a missing directory', () => ({ audit_output: 'file:/no/such/audit' }), 1,
      'audit_output: failed to open /no/such/audit: No such file or directory'],
    ['a log that is a directory', () => ({ log_outputs: '1:file:/usr' }), 1, 'failed to open /usr: Is a directory'],
    ['TLS without certificates', () => ({ listen_tls: 1, ca_file: '/no/ca', cert_file: '/no/cert', key_file: '/no/key' }), 6,
      "Cannot read CA certificate '/no/ca': No such file or directory"],
    ['a certificate that has expired', async () => {
      const past = { activation_date: '2020-01-01 00:00:00', expiration_date: '2021-01-01 00:00:00' }
      const { certificate, key } = await pki.server(past)
      return { ...await tls(), cert_file: certificate, key_file: key }
    }, 6, 'has expired'],
    ['the key of another certificate', async () => ({ ...await tls(), key_file: pki.ca.key }), 6,
      'The certificate and the given key do not match.'],
    ['a port that is no service', () => ({ listen_tcp: 1, auth_tcp: 'none', tcp_port: 'no-such-service' }), 6,
      "Unable to resolve address port 'no-such-service'"],
    ['a driver socket without a path', () => ({ driver_sockets: ['qemu='] }), 1, "'qemu=' is not of the form SCHEME=/PATH"]
  ]
  for (const [what, conf, status, why] of unusable) {
    it(`refuses ${what}, as a start does`, async () => {
      const files = await brokerFiles(cleanup, await conf())
      const check = await checked(files)
      expect(check.stderr).to.match(/^virtbrokerd: .*\n$/).and.contain(why)
      expect(check.status).to.equal(status)
      const start = await run(command(files))
      expect(start.stderr).to.contain(why)
      expect(start.status).to.equal(status)
    })
  }

  it('refuses a broker that would be its own driver daemon, as a start does', async () => {
    const files = await brokerFiles(cleanup, {})
    const conf = { driver_sockets: [`*=${files.dir}/libvirt-sock`], unix_sock_dir: files.dir }
    const own = { ...files, file: (await brokerFiles(cleanup, conf)).file }
    for (const { status, stderr } of [await checked(own), await run(command(own))]) {
      expect(stderr).to.contain("libvirt-sock' is a socket of this broker, not of a driver daemon")
      expect(status).to.equal(1)
    }
  })

  it('tells everything that is wrong, and ends with the code of what a start would meet first', async () => {
    const files = await brokerFiles(cleanup, {
      log_outputs: '1:file:/no/such/log', unix_sock_group: 'no-such-group', listen_tls: 1, ca_file: '/no/ca',
      cert_file: '/no/cert', key_file: '/no/key'
    })
    const { status, stdout, stderr } = await checked(files)
    expect(stderr.split('\n')).to.have.length(4)
    expect(stderr).to.match(/log: .*\n.*no-such-group.*\n.*\/no\/ca/)
    expect(stdout).to.contain(`configuration file: ${files.file}`)
    expect(status).to.equal(1)
  })

  /** Configurations that can be used and are seldom meant, with the warning of both. */
  const odd: [string, () => Conf | Promise<Conf>, string][] = [
    ['polkit on TLS', async () => ({ ...await tls(), auth_tls: 'polkit' }), 'auth_tls = "polkit" can never succeed'],
    ['polkit on TCP', () => ({ listen_tcp: 1, tcp_port: port, listen_addr: '127.0.0.1', auth_tcp: 'polkit' }),
      'auth_tcp = "polkit" can never succeed'],
    ['a driver socket that is not there', () => ({ driver_sockets: ['qemu=/no/such/socket'] }),
      "driver_sockets: there is nothing at '/no/such/socket' now"],
    ['a driver socket that is a file', () => ({ driver_sockets: ['*=/etc/passwd'] }),
      "driver_sockets: '/etc/passwd' is no socket"],
    ['a driver that does not exist', () => ({ driver_sockets: ['qem=/no/such/socket'] }),
      "driver_sockets: libvirt has no driver 'qem'"],
    ['a revocation list of another authority', async () => {
      const other = await pki.authority('Other CA')
      return { ...await tls(), crl_file: await pki.revoke([(await pki.client()).certificate], other) }
    }, 'holds a list whose issuer is not among the CA certificates']
  ]
  for (const [what, conf, warning] of odd) {
    it(`warns of ${what}, as a start does`, async () => {
      const files = await brokerFiles(cleanup, await conf())
      const { status, stdout } = await checked(files)
      expect(stdout.split('warnings:')[1]).to.contain(warning)
      expect(status).to.equal(0)
      expect(await started(files)).to.match(/ warning : /).and.contain(warning)
    })
  }

  it('says when the keys of the file would count for a broker that runs with the pid file', async () => {
    const files = await brokerFiles(cleanup, { max_clients: 10, max_anonymous_clients: 5, shield: 0, actor_threads: 1 })
    expect((await checked(files)).stdout).not.to.contain('runs with this pid file')
    const program = new Program(command(files))
    cleanup.defer(() => program.stop())
    await waitFor('the socket', () => canConnect(join(files.dir, 'libvirt-sock-ro')))
    const { stdout } = await checked(files)
    expect(stdout.split(`process ${program.pid} runs with this pid file`)[1]!.split('\n').slice(1, 4)).to.deep.equal([
      '  at once: max_clients, max_anonymous_clients',
      '  for new clients: shield',
      '  from the next start on: unix_sock_dir, auth_unix_ro, auth_unix_rw, actor_threads'
    ])
    await program.stop()
  })

  it('does not warn of driver sockets that are there', async () => {
    const files = await brokerFiles(cleanup, {})
    const socket = join(files.dir, 'daemon')
    await FakeDriver.listen(cleanup, socket)
    const schemes = ['qemu', 'network', '*'].map(scheme => `${scheme}=${socket}`)
    const with3 = { ...files, file: (await brokerFiles(cleanup, { unix_sock_dir: files.dir, driver_sockets: schemes })).file }
    expect((await checked(with3)).stdout).not.to.contain('driver_sockets: ')
  })

  describe('asks libsasl2', () => {
    const conf = (): Conf => ({ listen_tcp: 1, tcp_port: port, listen_addr: '127.0.0.1', auth_tcp: 'sasl' })

    it('and warns where it offers nothing for one of the ways in, as a start does', async () => {
      // Passwords in the clear are for connections that are secure by themselves.
      const sasl = await SaslFiles.create(cleanup, 'plain')
      const files = await brokerFiles(cleanup, { ...conf(), auth_unix_rw: 'sasl' })
      const said = [(await sasl.inUse(() => checked(files))).stdout, await sasl.inUse(() => started(files))]
      for (const text of said) {
        expect(text).to.match(/auth_tcp = "sasl": no mechanism can be offered, so nobody can log in; not offered: PLAIN/)
        expect(text).not.to.contain('auth_unix_rw = "sasl": no mechanism')
      }
    })

    it('and says nothing where there is a way', async () => {
      const sasl = await SaslFiles.create(cleanup, 'digest-md5')
      const files = await brokerFiles(cleanup, conf())
      const { status, stdout } = await sasl.inUse(() => checked(files))
      expect(stdout).not.to.contain('nobody can log in')
      expect(status).to.equal(0)
    })
  })

  it('says what only a start can tell', async () => {
    const listening = { listen_tcp: 1, tcp_port: port, auth_tcp: 'none', listen_addr: 'no-such.invalid' }
    const files = await brokerFiles(cleanup, { ...listening, metrics_listen: 'unix:/nowhere/metrics' })
    const { status, stdout } = await checked(files)
    expect(status).to.equal(0)
    expect(stdout).to.contain(
      'what only a start can tell:\n' +
      '  whether metrics_listen can be had; the broker goes on without it\n' +
      '  whether another process has the sockets, addresses and ports\n' +
      '  whether listen_addr "no-such.invalid" can be resolved\n'
    )
  })

  it('makes no log, nor anything else', async () => {
    const files = await brokerFiles(cleanup, {})
    const more = await brokerFiles(cleanup, {
      unix_sock_dir: join(files.dir, 'run/libvirt'), log_outputs: `1:file:${files.dir}/log`, embedded_test_driver: 1
    })
    const { status, stderr } = await checked({ ...files, file: more.file, pidFile: join(files.dir, 'run/pid') })
    expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' })
  })
})
