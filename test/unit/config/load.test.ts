import { expect } from 'chai'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { StartupError } from '#main/config/startup-error.js'
import { loadConfig, type Config } from '#main/config/load.js'
import { tlsFiles, type Pair } from '#main/config/tls-files.js'

const NO_ADDRESS = (text: string): string =>
  `unsupported configuration: FILE: proxy_trusted: '${text}' is no address, no range A-B and no subnet A/BITS`

describe('loading the configuration', () => {
  let dir: string
  let file: string
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'virtbroker-config-'))
    file = join(dir, 'virtproxyd.conf')
  })
  after(() => rmSync(dir, { recursive: true }))

  const load = (text: string, privileged = true, env: Record<string, string> = {}): Config => {
    writeFileSync(file, text)
    return loadConfig({ configFile: file, privileged, env })
  }
  const refusal = (text: string): [number, string] => {
    try {
      load(text)
    } catch (error) {
      expect(error).to.be.instanceOf(StartupError)
      return [(error as StartupError).exitCode, (error as StartupError).message.replaceAll(file, 'FILE')]
    }
    return [0, 'accepted']
  }

  it('of root without a word gives the defaults of virtproxyd', () => {
    const config = load('')
    expect(config.authUnixRw).to.equal('polkit')
    expect(config.authUnixRo).to.equal('polkit')
    expect(config.authTcp).to.equal('sasl')
    expect(config.authTls).to.equal('none')
    expect(config.unixSockRwPerms).to.equal(0o777)
    expect(config.unixSockRoPerms).to.equal(0o777)
    expect(config.unixSockAdminPerms).to.equal(0o700)
    expect(config.sockets).to.deep.equal({
      main: '/run/libvirt/libvirt-sock',
      readOnly: '/run/libvirt/libvirt-sock-ro',
      admin: '/run/libvirt/libvirt-admin-sock'
    })
    expect(config.driverSocketDir).to.equal('/run/libvirt')
    expect(config.actorThreads).to.equal(availableParallelism())
    expect(config.actorMinClients).to.equal(128)
    expect(config.driverMaxRequests).to.equal(4)
    expect(config.driverConnectTimeout).to.equal(30)
    expect(config.loginTimeout).to.equal(60)
    expect(config.tls).to.equal(undefined)
  })

  it('of an ordinary user opens the main socket to that user alone', () => {
    const config = load('', false, { XDG_RUNTIME_DIR: '/run/user/7', HOME: '/home/u' })
    expect(config.authUnixRw).to.equal('none')
    expect(config.unixSockRwPerms).to.equal(0o700)
    expect(config.sockets).to.deep.equal({
      main: '/run/user/7/libvirt/libvirt-sock',
      admin: '/run/user/7/libvirt/libvirt-admin-sock'
    })
    expect(config.driverSocketDir).to.equal('/run/user/7/libvirt')
    expect(config.paths.pidFile).to.equal('/run/user/7/libvirt/virtbrokerd.pid')
    expect(config.paths.logFile).to.equal('/home/u/.cache/libvirt/virtbrokerd.log')
  })

  it('of an ordinary user without XDG variables falls back to home', () => {
    const config = load('', false, { HOME: '/home/u', XDG_RUNTIME_DIR: '' })
    expect(config.sockets.main).to.equal('/home/u/.cache/libvirt/libvirt-sock')
    expect(config.paths.configFiles).to.deep.equal([
      '/home/u/.config/libvirt/virtbrokerd.conf',
      '/home/u/.config/libvirt/virtproxyd.conf'
    ])
  })

  it('puts the sockets where unix_sock_dir says', () => {
    expect(load('unix_sock_dir="/x"').sockets).to.deep.equal({
      main: '/x/libvirt-sock',
      readOnly: '/x/libvirt-sock-ro',
      admin: '/x/libvirt-admin-sock'
    })
    expect(load('unix_sock_dir="/x"', false).sockets).to.deep.equal({ main: '/x/libvirt-sock' })
  })

  it('widens the main socket for polkit and does not narrow it for none', () => {
    expect(load('auth_unix_rw="polkit"', false).unixSockRwPerms).to.equal(0o777)
    expect(load('auth_unix_rw="none"').unixSockRwPerms).to.equal(0o777)
    expect(load('auth_unix_rw="none"\nunix_sock_rw_perms="0770"').unixSockRwPerms).to.equal(0o770)
  })

  it('finds our file before that of virtproxyd, and does without any', () => {
    const env = { XDG_CONFIG_HOME: join(dir, 'home') }
    const read = () => loadConfig({ privileged: false, env })
    expect(read().file).to.equal(undefined)
    mkdirSync(join(dir, 'home/libvirt'), { recursive: true })
    writeFileSync(join(dir, 'home/libvirt/virtproxyd.conf'), 'max_clients=100')
    expect(read().maxClients).to.equal(100)
    writeFileSync(join(dir, 'home/libvirt/virtbrokerd.conf'), 'max_clients=200')
    expect(read().maxClients).to.equal(200)
  })

  it('reads the keys of our own', () => {
    const config = load(
      'driver_socket_dir="/d"\ndriver_sockets=["qemu=/q/sock", "*=/run/x"]\nactor_threads=3\nembedded_test_driver=1\n' +
        'metrics_listen="[::1]:16519"\ndriver_max_requests=9\ndriver_connect_timeout=1\nlogin_timeout=0'
    )
    expect(config.driverSocketDir).to.equal('/d')
    expect([...config.driverSockets]).to.deep.equal([
      ['qemu', '/q/sock'],
      ['*', '/run/x']
    ])
    expect(config.actorThreads).to.equal(3)
    expect(config.embeddedTestDriver).to.equal(true)
    expect(config.embeddedTestDriverUser).to.equal('nobody')
    expect(config.metricsListen).to.deep.equal({ host: '::1', port: 16519 })
    expect(load('metrics_listen="localhost:16519"').metricsListen).to.deep.equal({ host: '127.0.0.1', port: 16519 })
    expect(load('metrics_listen="unix:/run/m"').metricsListen).to.deep.equal({ kind: 'unix', path: '/run/m' })
    expect(load('metrics_listen=""').metricsListen).to.equal(undefined)
    expect(load('audit_output="file:/var/log/a"').auditOutput).to.deep.equal({ to: 'file', path: '/var/log/a' })
    expect(load('audit_output="unix:@collector"').auditOutput).to.deep.equal({ to: 'unix', path: '@collector' })
    expect(load('audit_output="journald"').auditOutput).to.deep.equal({ to: 'journald' })
    expect(load('').auditOutput).to.equal(undefined)
    expect(config.driverMaxRequests).to.equal(9)
    expect(config.driverConnectTimeout).to.equal(1)
    expect(config.loginTimeout).to.equal(0)
  })

  it('keeps a client with max_client_requests of 0 usable', () => {
    expect(load('max_client_requests=0').maxClientRequests).to.equal(1)
  })

  it('accepts what virtproxyd accepts although it makes little sense', () => {
    for (const text of ['min_workers=30', 'admin_max_workers=0', 'max_anonymous_clients=0', 'max_queued_clients=0']) {
      expect(() => load(text), text).not.to.throw()
    }
    expect(() => load('max_clients=0\nmax_anonymous_clients=0\naccess_drivers=["none","polkit"]')).not.to.throw()
    expect(() => load('host_uuid="12345678123412341234 123456789abc"\nhost_uuid_source="x"')).not.to.throw()
  })

  const wrapped = (what: string) => `Can't load config file: ${what}: FILE`
  const refused: [string, number, string][] = [
    ['a', 1, wrapped('configuration file syntax error: FILE:1: expecting an assignment')],
    ['tls_port=1', 1, wrapped("internal error: FILE: expected a string for 'tls_port' parameter")],
    ['auth_tcp="kerberos"', 1, wrapped('unsupported configuration: FILE: auth_tcp: unsupported auth kerberos')],
    ['auth_unix_ro="x"', 1, wrapped('unsupported configuration: FILE: auth_unix_ro: unsupported auth x')],
    ['tcp_min_ssf=56', 1, wrapped('unsupported configuration: minimum SSF levels lower than 112 are not supported')],
    ['max_workers=0', 1, wrapped("internal error: 'max_workers' must be greater than 0")],
    ['driver_max_requests=0', 1, wrapped("internal error: 'driver_max_requests' must be greater than 0")],
    ['driver_pool_size=0', 1, wrapped("internal error: 'driver_pool_size' must be greater than 0")],
    ['proxy_protocol="either"', 1, wrapped('unsupported configuration: FILE: proxy_protocol: unsupported value either')],
    [
      'proxy_protocol="require"',
      1,
      wrapped('unsupported configuration: FILE: proxy_protocol = "require" lets nobody in without proxy_trusted')
    ],
    ['proxy_trusted=["10.0.0.1","lb"]', 1, wrapped(NO_ADDRESS('lb'))],
    ['proxy_trusted=["10.0.0.0/33"]', 1, wrapped(NO_ADDRESS('10.0.0.0/33'))],
    ['driver_sharing="yes"', 1, 'unsupported configuration: FILE: driver_sharing: unsupported value yes'],
    ['driver_connect_timeout=0', 1, wrapped("internal error: 'driver_connect_timeout' must be greater than 0")],
    [
      'driver_sockets=["qemu=sock"]',
      1,
      wrapped("unsupported configuration: FILE: driver_sockets: 'qemu=sock' is not of the form SCHEME=/PATH")
    ],
    [
      'audit_output="file:audit"',
      1,
      wrapped("unsupported configuration: FILE: audit_output: 'file:audit' is not file:/PATH, journald or unix:/PATH")
    ],
    [
      `audit_output="unix:/${'x'.repeat(107)}"`,
      1,
      wrapped(`unsupported configuration: FILE: audit_output: '/${'x'.repeat(107)}' does not fit a socket address`)
    ],
    [
      'metrics_listen="9177"',
      1,
      wrapped("unsupported configuration: FILE: metrics_listen: '9177' is not of the form ADDRESS:PORT or unix:/PATH")
    ],
    [
      'metrics_listen="0.0.0.0:16519"',
      1,
      wrapped(
        "unsupported configuration: FILE: metrics_listen: '0.0.0.0:16519' is no loopback address: " +
          'nobody logs in there, so a proxy has to stand before it'
      )
    ],
    [
      'metrics_listen="unix:metrics"',
      1,
      wrapped("unsupported configuration: FILE: metrics_listen: 'unix:metrics' has no absolute path")
    ],
    [
      'metrics_listen="::1:99999"',
      1,
      wrapped("unsupported configuration: FILE: metrics_listen: '::1:99999' is not of the form ADDRESS:PORT or unix:/PATH")
    ],
    ['host_uuid="x"', 1, 'invalid host UUID: x'],
    [
      'host_uuid="11111111-1111-1111-1111-111111111111"',
      1,
      'invalid host UUID: 11111111-1111-1111-1111-111111111111'
    ],
    ['host_uuid_source="x"', 1, 'invalid UUID source: x'],
    ['log_level=5', 1, "invalid argument: Failed to set logging priority, argument '5' is invalid"],
    ['log_filters="x"', 1, "invalid argument: Malformed format for filter 'x'"],
    ['access_drivers=["none","foo"]', 1, "internal error: Cannot find security driver 'foo'"],
    [
      'max_clients=3',
      3,
      'internal error: The overall maximum number of clients must not be less than the number of clients waiting ' +
        'for authentication'
    ],
    ['unix_sock_rw_perms="zz"', 6, "Failed to parse mode 'zz'"],
    ['unix_sock_ro_perms="0999"', 6, "Failed to parse mode '0999'"],
    ['unix_sock_admin_perms=""', 6, "Failed to parse mode ''"],
    ['listen_tcp=1\nlisten_addr=""', 6, "Unable to resolve address '' service '16509': Name or service not known"],
    ['listen_tls=1\nlisten_addr=""\ntls_port="99"', 6, "Unable to resolve address '' service '99': Name or service not known"],
    ['listen_tcp=1\ntcp_port="65536"', 6, "Unable to resolve address port '65536': Servname not supported for ai_socktype"],
    ['listen_tcp=1\ntcp_port=""', 6, "Unable to resolve address port '': Servname not supported for ai_socktype"],
    ['listen_tls=1\ntls_port=" 99999"', 6, "Unable to resolve address port ' 99999': Servname not supported for ai_socktype"],
    ['listen_tls=1\ntls_priority="NORMAL:-FOO"', 6, "Failed to set TLS session priority to NORMAL:-FOO: '-FOO' is not supported"],
    ['listen_tls=1\nca_file="/x"', 6, 'unsupported configuration: No server certificate path set to match server key'],
    [
      'listen_tls=1\ncert_file="/x"\nkey_file="/x"',
      6,
      'unsupported configuration: No CA certificate path set to match server key/cert'
    ],
    [
      'listen_tls=1\nca_file="/x"\ncert_file="/x"',
      6,
      'unsupported configuration: No server key path set to match server cert'
    ]
  ]
  for (const [text, code, message] of refused) {
    it(`refuses ${text.replaceAll('\n', '; ')} with exit code ${code}`, () => {
      expect(refusal(text)).to.deep.equal([code, message])
    })
  }

  it('says what virtproxyd meets first when several things are wrong', () => {
    expect(refusal('max_clients=3\nlog_level=5\nunix_sock_rw_perms="x"')[1]).to.include('logging priority')
    expect(refusal('max_clients=3\nunix_sock_rw_perms="x"')[0]).to.equal(3)
  })

  const fileRefusal = (configFile: string) => {
    expect(() => loadConfig({ configFile, privileged: true, env: {} })).to.throw(StartupError)
    try {
      loadConfig({ configFile, privileged: true, env: {} })
    } catch (error) {
      return (error as Error).message
    }
    return ''
  }

  it('refuses a missing file that was asked for', () => {
    expect(fileRefusal('/nowhere/x')).to.equal(
      "Can't load config file: Failed to open file '/nowhere/x': No such file or directory: /nowhere/x"
    )
  })

  it('refuses a directory', () => {
    expect(fileRefusal(dir)).to.equal(`Can't load config file: Failed to read file '${dir}': Is a directory: ${dir}`)
  })

  it('refuses more than ten megabytes', () => {
    const big = join(dir, 'big')
    writeFileSync(big, Buffer.alloc(10 * 1024 * 1024 + 1, '#'))
    expect(fileRefusal(big)).to.equal(
      `Can't load config file: Failed to read file '${big}': Value too large for defined data type: ${big}`
    )
    writeFileSync(big, Buffer.alloc(10 * 1024 * 1024, '#'))
    expect(loadConfig({ configFile: big, privileged: true, env: {} }).file).to.equal(big)
  })

  describe('chooses the TLS files', () => {
    const choose = (text: string, present: string[], privileged = false) => {
      const config = load(text, privileged, { HOME: '/home/u' })
      return tlsFiles(config, config.paths, path => present.includes(path))
    }
    const system = { certificate: '/etc/pki/libvirt/servercert.pem', key: '/etc/pki/libvirt/private/serverkey.pem' }
    const own = { certificate: '/home/u/.pki/libvirt/servercert.pem', key: '/home/u/.pki/libvirt/serverkey.pem' }

    const numbered = ({ certificate, key }: Pair) => ['0', '1', '2', '3'].map(index => ({
      certificate: certificate.replace('cert.pem', `cert${index}.pem`),
      key: key.replace('key.pem', `key${index}.pem`)
    }))

    it('of the system for root', () => {
      expect(choose('', [], true)).to.deep.equal({
        ca: '/etc/pki/CA/cacert.pem',
        crl: '/etc/pki/CA/cacrl.pem',
        identities: [system],
        indexed: numbered(system)
      })
    })

    it('of the user where they exist, certificate and key only together', () => {
      expect(choose('', [own.certificate, '/home/u/.pki/libvirt/cacert.pem'])).to.deep.equal({
        ca: '/home/u/.pki/libvirt/cacert.pem',
        crl: '/etc/pki/CA/cacrl.pem',
        identities: [system],
        indexed: numbered(system)
      })
      expect(choose('', [own.certificate, own.key]).identities).to.deep.equal([own])
      const first = numbered(own)[0]!
      expect(choose('', [first.certificate, first.key])).to.deep.include({ identities: [own], indexed: numbered(own) })
      expect(choose('', [first.certificate]).identities).to.deep.equal([system])
    })

    it('that are named, with no revocation list unless that is named too', () => {
      const named = 'ca_file="/a"\ncert_file="/c"\nkey_file="/k"'
      const files = { ca: '/a', identities: [{ certificate: '/c', key: '/k' }], indexed: [] }
      expect(choose(named, [])).to.deep.equal({ ...files, crl: undefined })
      expect(choose(`${named}\ncrl_file="/r"`, [])).to.deep.equal({ ...files, crl: '/r' })
    })

    it('taking an empty name for none', () => {
      expect(choose('ca_file=""\ncert_file=""\nkey_file=""\ncrl_file=""', [], true)).to.deep.equal(choose('', [], true))
      expect(choose('ca_file="/a"\ncert_file="/c"\nkey_file="/k"\ncrl_file=""', []).crl).to.equal(undefined)
      expect(() => choose('ca_file=""\ncert_file="/c"\nkey_file="/k"', [])).to.throw('No CA certificate path set')
    })

    it('ignoring crl_file next to the default files, as libvirt does', () => {
      expect(choose('crl_file="/r"', [], true).crl).to.equal('/etc/pki/CA/cacrl.pem')
    })

    it('of several identities', () => {
      expect(choose('ca_file="/a"\ncert_files=["/1","/2"]\nkey_files=["/3","/4"]', []).identities).to.deep.equal([
        { certificate: '/1', key: '/3' },
        { certificate: '/2', key: '/4' }
      ])
      expect(() => choose('ca_file="/a"\ncert_files=["/1"]\nkey_files=["/3","/4"]', [])).to.throw('same number')
      expect(() => choose('ca_file="/a"\ncert_files=["/1"]\nkey_file="/3"', [])).to.throw('cannot be combined')
    })
  })
})
