import { expect } from 'chai'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeConfig } from '#main/config/check.js'
import { loadConfig } from '#main/config/load.js'

describe('--check-config', () => {
  let dir: string
  let file: string
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'virtbroker-check-'))
    file = join(dir, 'c.conf')
  })
  after(() => rmSync(dir, { recursive: true }))

  const describeText = (text: string, privileged = false): string => {
    writeFileSync(file, text)
    return describeConfig(loadConfig({ configFile: file, privileged, env: { HOME: '/h' } }))
  }

  it('says little about an empty file', () => {
    expect(describeText('')).to.equal(`configuration file: ${file}\nrunning as: an ordinary user\n`)
  })

  it('says where it looked when there is no file', () => {
    expect(describeConfig(loadConfig({ privileged: false, env: { HOME: dir } }))).to.include(
      `configuration file: none (looked for ${dir}/.config/libvirt/virtbrokerd.conf, `
    )
  })

  it('names the file of the token, never the token, and says where there is no use for it', () => {
    const token = 'a-token-of-at-least-32-characters'
    const path = join(dir, 'token')
    writeFileSync(path, token, { mode: 0o600 })
    const set = `metrics_token = "${path}"`
    for (const text of [describeText(set), describeText(`${set}\nmetrics_listen = "127.0.0.1:1"`)]) {
      expect(text).to.include(`  ${set}\n`).and.not.include(token)
    }
    expect(describeText(set)).to.include('  metrics_listen is not set, so there is no use for metrics_token\n')
  })

  it('lists what differs, what is ignored and what nobody knows', () => {
    const text = describeText(
      [
        'max_clients = 100',
        'max_client_requests = 5',
        'unix_sock_rw_perms = "0770"',
        'driver_sockets = ["qemu=/q"]',
        'auth_tcp = "none"',
        'metrics_listen = "127.0.0.1:1"',
        'audit_output = "file:/var/audit"',
        'min_workers = 7',
        'mdns_adv = "x"',
        'listen_tpc = 1'
      ].join('\n')
    )
    expect(text.split('\n').slice(2)).to.deep.equal([
      '',
      'values that differ from the default:',
      '  unix_sock_rw_perms = "0770"',
      '  auth_tcp = "none"',
      '  max_clients = 100',
      '  driver_sockets = [ "qemu=/q" ]',
      '  audit_output = "file:/var/audit"',
      '  metrics_listen = "127.0.0.1:1"',
      '',
      'without effect where systemd makes the sockets:',
      '  unix_sock_rw_perms',
      '',
      'ignored:',
      '  min_workers = 7 (no call occupies a worker thread here)',
      '  mdns_adv (libvirt dropped it long ago)',
      '',
      'unknown keys:',
      '  listen_tpc (line 10)',
      ''
    ])
  })

  const warned: [string, boolean, RegExp][] = [
    ['auth_unix_rw="none"', true, /lets every user of this host in/],
    ['listen_tcp=1\nauth_tcp="none"', false, /everybody on the network/],
    ['listen_tcp=1\nauth_tcp="none"\nlisten_addr="0.0.0.0"', false, /everybody on the network/],
    ['listen_tcp=1\nauth_tcp="none"\nlisten_addr="127.0.0.1"', false, /every user of this host in, also on a loopback/],
    ['listen_tcp=1\nauth_tcp="none"\nlisten_addr="::1"', true, /every user of this host in, also on a loopback/],
    ['listen_tcp=1\nauth_tcp="polkit"', false, /can never succeed/],
    ['proxy_trusted=["10.0.0.5"]', true, /proxy_protocol is "off", so there is no use for proxy_trusted$/m],
    ['proxy_tls_identity=1', true, /proxy_protocol is "off", so there is no use for proxy_tls_identity$/m],
    ['proxy_protocol="require"\nproxy_trusted=["0.0.0.0/0"]', true, /proxy_trusted has 0\.0\.0\.0\/0: everybody can pretend to be a proxy/],
    ['proxy_protocol="require"\nproxy_trusted=["10.0.0.5"]', true, /"require", and nobody listens on TCP or TLS/],
    ['driver_sharing="off"\ncollapse_reads=1', true, /collapse_reads has no effect without driver_sharing/],
    ['driver_sharing="user"', true, /access_drivers = \[ "polkit" \] refuse the calls/],
    ['audit_fail_closed=1', true, /there is no audit_output, so there is no use for audit_fail_closed$/m],
    ['listen_tls=1\ntls_no_verify_certificate=1', false, /lets everybody on the network in/],
    ['auth_unix_ro="none"', true, /lets every user of this host look/],
    ['max_client_requests=0', false, /wait for each reply/],
    ['embedded_test_driver=1', true, /for tests, and this broker runs as root/],
    ['embedded_test_driver=1\nembedded_test_driver_user=""', true, /runs as root: embedded_test_driver_user is ""/],
    ['embedded_test_driver=1\nembedded_test_driver_user="root"', true, /runs as root: embedded_test_driver_user is "root"/],
    ['embedded_test_driver=1\nembedded_test_driver_user="no-one"', true, /runs as root: .*"no-one" is no user of this host/],
    ['embedded_test_driver=1\nauth_unix_rw="none"', true, /everybody who reaches the listeners with auth_unix_rw = "none"\n/],
    [
      'embedded_test_driver=1\nlisten_tcp=1\nlisten_addr="127.0.0.1"\nauth_tcp="none"\nauth_unix_ro="none"',
      true,
      /everybody who reaches the listeners with auth_unix_ro = "none", auth_tcp = "none"\n/
    ],
    ['embedded_test_driver=1\nlisten_tls=1\ntls_no_verify_certificate=1', false, /the listeners with auth_tls = "none"\n/],
    ['ca_file="/c"\ncert_file="/s"\nkey_file="/k"', true, /^ +listen_tls is 0, so there is no use for ca_file, cert_file, key_file$/m],
    ['auth_tls="sasl"\nlisten_tcp=1\nauth_tcp="sasl"', true, /^ +listen_tls is 0, so there is no use for auth_tls$/m],
    ['cert_files=["/s"]\nkey_files=["/k"]', false, /listen_tls is 0, so there is no use for cert_files, key_files$/m],
    [
      'listen_tls=1\ntls_priority="NORMAL:+VERS-TLS1.0:+ANON-ECDH"',
      false,
      /tls_priority asks for what is not supported, and goes without it: VERS-TLS1.0, ANON-ECDH$/m
    ]
  ]
  for (const [text, privileged, warning] of warned) {
    const who = privileged ? 'of root' : 'of an ordinary user'
    it(`warns about ${text.replaceAll('\n', '; ') || 'an empty file'} ${who}`, () => {
      expect(describeText(text, privileged).split('warnings:')[1]).to.match(warning)
    })
  }

  it('warns about a directory of driver sockets that others can write to', () => {
    const sockets = join(dir, 'sockets')
    mkdirSync(sockets)
    const told = (): string => describeText(`driver_socket_dir="${sockets}"`)
    const warning = `others can write to ${sockets}`
    chmodSync(sockets, 0o755)
    expect(told()).not.to.include('warnings')
    for (const mode of [0o777, 0o1777, 0o757]) {
      chmodSync(sockets, mode)
      expect(told(), mode.toString(8)).to.include(warning)
    }
    chmodSync(sockets, 0o775)
    expect(told()).not.to.include('warnings')
    // Whose it is can only be tried by root, as who the tests with real daemons run anyway.
    if (process.getuid!() !== 0) return
    chownSync(sockets, 0, 1)
    expect(told(), 'group').to.include(warning)
    chmodSync(sockets, 0o755)
    expect(told()).not.to.include('warnings')
    chownSync(sockets, 1, 0)
    expect(told(), 'owner').to.include(warning)
  })

  it('does not warn about what is fine', () => {
    const fine = [
      'driver_socket_dir="/nowhere"',
      'metrics_listen="unix:/nowhere/metrics"',
      'embedded_test_driver=1',
      'embedded_test_driver=1\nembedded_test_driver_user=""',
      'embedded_test_driver=1\nlisten_tcp=1\nlisten_addr="127.0.0.1"',
      'embedded_test_driver=1\nlisten_tls=1',
      'metrics_listen="localhost:1"',
      'audit_output="journald"\naudit_reads=1\naudit_fail_closed=1',
      'listen_tls=1\nauth_tls="sasl"\nca_file="/c"\ncert_file="/s"\nkey_file="/k"',
      'listen_tls=0\nlisten_tcp=0',
      'listen_tls=1\ntls_priority="SECURE256:+SECURE128:-VERS-TLS-ALL:+VERS-TLS1.2:-RSA"'
    ]
    for (const text of fine) expect(describeText(text), text).not.to.include('warnings')
    expect(describeText('auth_unix_rw="none"\nunix_sock_rw_perms="0770"', true)).not.to.include('warnings')
    expect(describeText('auth_unix_ro="none"\nunix_sock_ro_perms="0770"', true)).not.to.include('warnings')
  })
})
