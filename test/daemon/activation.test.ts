import { existsSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { PassedSockets, type Variables } from '../support/passed-sockets.js'
import { childrenOf, listeningPorts, openDescriptorsOf } from '../support/process-state.js'
import { Program, run } from '../support/processes.js'
import { RawClient } from '../support/raw-client.js'
import { waitFor } from '../support/waiting.js'

const OPEN: Conf = { auth_unix_rw: 'none', auth_unix_ro: 'none', auth_tcp: 'none', log_outputs: '2:stderr', log_level: 2 }

/** A client that is there before the broker waits for its start. */
const START_MS = 45_000

describe('with sockets that systemd has made', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const serves = async (where: string | number): Promise<void> => {
    const client = await RawClient.connect(cleanup, where)
    // The sockets are there before the broker is.
    expect((await client.next({ serial: client.post(REMOTE.authList) }, START_MS)).status).to.equal(STATUS.ok)
    client.destroy()
  }

  it('the broker serves on these, and makes no others', async () => {
    const sockets = await PassedSockets.in(cleanup)
    const [port, other] = [await freePort(), await freePort()]
    const main = sockets.unix('virtbrokerd.socket')
    const readOnly = sockets.unix('virtproxyd-ro.socket')
    sockets.tcp('virtbrokerd-tcp.socket', port)
    const broker = await sockets.start({ ...OPEN, listen_tcp: 1, tcp_port: String(other), unix_sock_rw_perms: '0777' })
    for (const where of [main, readOnly, port]) await serves(where)
    expect(listeningPorts(broker.pid)).to.deep.equal([port])
    expect(existsSync(join(sockets.dir, 'own'))).to.equal(false)
    expect(statSync(main).mode & 0o777).to.equal(0o600)
    await broker.hasSaid(
      'systemd has made the sockets, so there is no use for listen_tcp, tcp_port, unix_sock_rw_perms, unix_sock_dir'
    )
    const client = await RawClient.connect(cleanup, readOnly)
    expect((await client.open('test:///default')).status).to.equal(STATUS.error)
  })

  it('all sockets of one name are one listener', async () => {
    const sockets = await PassedSockets.in(cleanup)
    const both = [sockets.unix('virtbrokerd.socket', 'one'), sockets.unix('virtproxyd.socket', 'other')]
    const broker = await sockets.start({ ...OPEN, auth_unix_rw: 'polkit', max_anonymous_clients: 1 })
    await RawClient.connect(cleanup, both[0]!)
    await serves(both[1]!)
    await broker.hasSaid('main: 1 clients that have not logged in (max_anonymous_clients): others wait')
  })

  it('a stop leaves them to whoever comes next, with those who wait', async () => {
    const sockets = await PassedSockets.in(cleanup)
    const port = await freePort()
    const main = sockets.unix('virtbrokerd.socket')
    sockets.tcp('virtbrokerd-tcp.socket', port)
    const first = await sockets.start(OPEN)
    for (const where of [main, port]) await serves(where)
    await first.stop()
    expect(await first.exited).to.deep.equal({ status: 0, signal: null })
    const waiting = await Promise.all([main, port].map(where => RawClient.connect(cleanup, where)))
    const calls = waiting.map(client => client.next({ serial: client.post(REMOTE.authList) }, START_MS))
    await sockets.start(OPEN)
    for (const call of calls) expect((await call).status).to.equal(STATUS.ok)
  })

  it('a client of IPv4 has its own address, though the socket is for both', async () => {
    const sockets = await PassedSockets.in(cleanup)
    const port = await freePort()
    const activate = ['systemd-socket-activate', '-l', String(port), '--fdname=virtbrokerd-tcp.socket']
    const command = (await sockets.command({ ...OPEN, max_clients_per_address: 1 })).slice(4)
    const broker = new Program([...activate, ...command])
    cleanup.defer(() => broker.stop())
    await waitFor('the socket', () => broker.stderr.includes('Listening on'))
    const client = await RawClient.connect(cleanup, port)
    expect((await client.next({ serial: client.post(REMOTE.authList) }, START_MS)).status).to.equal(STATUS.ok)
    const otherwise = await RawClient.connect(cleanup, { host: '::1', port })
    expect((await otherwise.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    await (await RawClient.connect(cleanup, port)).end()
    await waitFor('the line', () => broker.stderr.includes('127.0.0.1 has 1 connections'))
  })

  it('they survive the start without the environment\'s options for Node, and no other process has them', async () => {
    const sockets = await PassedSockets.in(cleanup)
    const main = sockets.unix('virtbrokerd.socket')
    const broker = await sockets.start({ ...OPEN, embedded_test_driver: 1 }, { env: { NODE_OPTIONS: '--no-deprecation' } })
    const client = await RawClient.connect(cleanup, main)
    await client.next({ serial: client.post(REMOTE.authList) }, START_MS)
    expect((await client.open('test:///default')).status).to.equal(STATUS.ok)
    const socket = readlinkSync(`/proc/${broker.pid}/fd/3`)
    expect(socket).to.match(/^socket:/)
    const children = childrenOf(broker.pid)
    expect(children).not.to.be.empty
    for (const child of children) expect(openDescriptorsOf(child, socket)).to.equal(0)
  })

  /** Each with what the start is told, and what it says. */
  const unusable: [string, (sockets: PassedSockets) => Promise<Partial<Variables>> | Partial<Variables>, string][] = [
    ['no names', () => ({ LISTEN_FDNAMES: '' }), '1 sockets were passed without their names (LISTEN_FDNAMES)'],
    ['too few names', sockets => {
      sockets.unix('virtbrokerd-ro.socket')
      return { LISTEN_FDNAMES: 'virtbrokerd.socket' }
    }, '2 sockets were passed with 1 names'],
    ['a name that nobody knows', () => ({ LISTEN_FDNAMES: 'libvirtd.socket' }), "a socket named 'libvirtd.socket' was passed"],
    ['a TCP socket as the main one', async sockets => {
      sockets.tcp('virtproxyd.socket', await freePort())
      return {}
    }, "the socket passed as 'virtproxyd.socket' is no UNIX socket with a name"],
    ['a UNIX socket for TLS', () => ({ LISTEN_FDNAMES: 'virtbrokerd-tls.socket' }), 'is no TCP socket'],
    ['what is no socket', () => ({ LISTEN_FDS: '2', LISTEN_FDNAMES: 'virtbrokerd.socket:virtbrokerd-ro.socket' }),
      "the socket passed as 'virtbrokerd-ro.socket' is none that listens for streams"],
    ['a number that is none', () => ({ LISTEN_FDS: 'all' }), "LISTEN_FDS is 'all', which is no number of sockets"]
  ]
  for (const [what, change, why] of unusable) {
    it(`the start fails with ${what}`, async () => {
      const sockets = await PassedSockets.in(cleanup)
      const path = sockets.unix('virtbrokerd.socket')
      const broker = await sockets.start(OPEN, { variables: await change(sockets) })
      expect((await broker.exited).status).to.equal(6)
      expect(broker.stderr).to.contain(why)
      expect(existsSync(path)).to.equal(true)
    })
  }

  it('the start in the background fails', async () => {
    const sockets = await PassedSockets.in(cleanup)
    sockets.unix('virtbrokerd.socket')
    const broker = await sockets.start(OPEN, { args: ['-d'] })
    expect((await broker.exited).status).to.equal(1)
    expect(broker.stderr).to.contain('in the background (-d)')
  })

  it('variables that are meant for another process count for nothing', async () => {
    const sockets = await PassedSockets.in(cleanup)
    const passed = sockets.unix('virtbrokerd.socket')
    await sockets.start({ ...OPEN, unix_sock_dir: sockets.dir }, { variables: { LISTEN_PID: '1' } })
    const own = join(sockets.dir, 'libvirt-sock')
    await waitFor('its own socket', () => existsSync(own))
    await serves(own)
    expect(existsSync(passed)).to.equal(true)
  })

  it('--check-config looks at what the sockets are', async () => {
    const sockets = await PassedSockets.in(cleanup)
    sockets.unix('virtbrokerd.socket', 'main', 0o666)
    const conf = { ...OPEN, listen_tls: 1, cert_file: '/nowhere/cert', unix_sock_rw_perms: '0700', tls_port: 'no-such-service' }
    const check = await sockets.start(conf, { args: ['--check-config'] })
    expect((await check.exited).status).to.equal(0)
    expect(check.stdout).to.contain('auth_unix_rw is "none" and the mode of the main socket lets every user of this host in')
    expect(check.stdout).to.contain('systemd has made no socket for TLS, so there is no use for cert_file')
    expect(check.stdout).to.contain('so there is no use for listen_tls, tls_port, unix_sock_rw_perms, unix_sock_dir')
    expect(check.stdout).not.to.contain('what only a start can tell')
  })

  it('--check-config says beforehand what they would make useless', async () => {
    const sockets = await PassedSockets.in(cleanup)
    const command = await sockets.command({ ...OPEN, unix_sock_rw_perms: '0700' }, ['--check-config'], { LISTEN_FDS: '' })
    const { stdout, status } = await run(command)
    expect(status).to.equal(0)
    expect(stdout).to.match(/without effect where systemd makes the sockets:\n {2}unix_sock_rw_perms\n {2}unix_sock_dir\n/)
  })
})
