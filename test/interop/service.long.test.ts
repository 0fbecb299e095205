import { realpathSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { BootedHost } from '../support/booted-host.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { InstalledService, LOG } from '../support/installed-service.js'
import { type Outcome, printed, type Program } from '../support/processes.js'
import { waitFor } from '../support/waiting.js'

const CONF: Conf = {
  auth_unix_rw: 'none', auth_unix_ro: 'none', auth_tcp: 'none', driver_idle_timeout: 1, log_outputs: `2:file:${LOG}`, log_level: 2
}
const STAYER = realpathSync(new URL('../../../test/interop/python/stayer.py', import.meta.url))
const SOCKETS = ['virtbrokerd.socket', 'virtbrokerd-ro.socket', 'virtbrokerd-admin.socket', 'virtbrokerd-tcp.socket']

describe('the service beside libvirtd', function () {
  this.timeout(180_000)
  const cleanup = new Cleanup()
  let host: BootedHost
  let service: InstalledService
  before(async () => {
    host = await BootedHost.start(cleanup)
    service = await InstalledService.on(host, CONF)
    await service.systemctl('start', 'libvirtd.socket', 'libvirtd-ro.socket', 'libvirtd-admin.socket', ...SOCKETS)
  })
  after(() => cleanup.run())

  const list = (...uri: string[]): Promise<Outcome> => host.run(['virsh', '-c', ...uri, 'list', '--all'])
  const unix = (name: string): string => `qemu+unix:///system?socket=/run/virtbroker/${name}`
  const TCP = 'qemu+tcp://127.0.0.1/system'

  /** systemd gives up on what is started more than five times in ten seconds. */
  const mayStartAgain = (): Promise<Outcome> => service.systemctl('reset-failed', 'virtbrokerd.service')

  async function stopped(): Promise<void> {
    await service.systemctl('stop', 'virtbrokerd.service')
    await mayStartAgain()
    expect(await service.property('Result')).to.equal('success')
  }

  for (const [what, command] of [
    ['the main socket', ['virsh', '-c', unix('libvirt-sock'), 'list']],
    ['the read-only socket', ['virsh', '-r', '-c', unix('libvirt-sock-ro'), 'list']],
    ['the TCP socket', ['virsh', '-c', TCP, 'list']],
    ['the admin socket', ['virt-admin', '-c', 'libvirtd:///system?socket=/run/virtbroker/libvirt-admin-sock', 'srv-list']]
  ] as const) {
    it(`is started by the first client on ${what}`, async () => {
      expect(await service.state()).to.equal('inactive')
      const { status, stderr } = await host.run(command)
      expect({ status, stderr }).to.deep.equal({ status: 0, stderr: '' })
      expect(await service.state()).to.equal('active')
      await waitFor('its status', async () => (await service.property('StatusText')) === '0 clients, 0 driver connections')
      await stopped()
    })
  }

  it('is ready when systemd says so', async () => {
    await service.systemctl('start', 'virtbrokerd.service')
    expect(await service.log()).to.match(/ready, with \d+ actor threads\n$/)
    await stopped()
  })

  it('ends when there is no client, and comes again', async () => {
    await service.write('/etc/default/virtbrokerd', 'VIRTBROKERD_ARGS="--timeout 1"\n')
    for (let round = 0; round < 2; round++) {
      expect((await list(unix('libvirt-sock'))).status).to.equal(0)
      await service.becomes('inactive')
      await mayStartAgain()
      expect(await service.property('Result')).to.equal('success')
    }
    await host.exec(['rm', '/etc/default/virtbrokerd'])
  })

  it('is reloaded, and a configuration that cannot be used makes that fail', async () => {
    await service.systemctl('start', 'virtbrokerd.service')
    await service.systemctl('reload', 'virtbrokerd.service')
    await service.configure({ ...CONF, max_clients: 'many' })
    const { status } = await host.run(['systemctl', 'reload', 'virtbrokerd.service'])
    expect(status).not.to.equal(0)
    expect(await service.state()).to.equal('active')
    expect((await list(unix('libvirt-sock'))).status).to.equal(0)
    await service.configure(CONF)
    await service.systemctl('reload', 'virtbrokerd.service')
    await stopped()
  })

  it('is restarted, and no client is refused meanwhile', async () => {
    await service.systemctl('start', 'virtbrokerd.service')
    let over = false
    const loop = async (uri: string): Promise<number> => {
      let calls = 0
      for (; !over; calls++) {
        // Who is in is closed by a stop; nobody is refused.
        expect((await list(uri)).stderr).not.to.match(/Failed to connect socket|[Uu]nable to connect|refused|No such file/)
      }
      return calls
    }
    const loops = Promise.all([unix('libvirt-sock'), TCP].map(loop))
    const restarts = async (): Promise<void> => {
      for (let i = 0; i < 5; i++) {
        await service.systemctl('restart', 'virtbrokerd.service')
        await mayStartAgain()
      }
    }
    const [calls] = await Promise.all([loops, restarts().finally(() => (over = true))])
    for (const count of calls) expect(count).to.be.above(3)
    await stopped()
  })

  it('is ended by the watchdog when it hangs, and comes again', async () => {
    await service.override('virtbrokerd.service', '[Service]\nWatchdogSec=8\nTimeoutAbortSec=1\n')
    await service.systemctl('start', 'virtbrokerd.service')
    const pid = await service.property('MainPID')
    await host.exec(['kill', '-STOP', pid])
    await waitFor('another process', async () => !['0', pid].includes(await service.property('MainPID')), 30_000)
    await service.becomes('active')
    expect(await service.property('NRestarts')).to.equal('1')
    expect((await list(unix('libvirt-sock'))).status).to.equal(0)
    await stopped()
    await host.exec(['rm', '-r', '/etc/systemd/system/virtbrokerd.service.d'])
    await service.systemctl('daemon-reload')
  })

  /** A client that has asked something of libvirtd, which has been stopped and does not answer. */
  async function asking(libvirtd: string): Promise<Program> {
    const client = host.spawn(['virsh', '-q', '-c', unix('libvirt-sock')])
    cleanup.defer(() => client.stop())
    client.child.stdin.write('echo connected\n')
    await printed(client, /connected/)
    await host.exec(['kill', '-STOP', libvirtd])
    client.child.stdin.write('capabilities\n')
    await waitFor('its call', async () => {
      const { stdout } = await host.exec(['ss', '-xH', 'src', '/run/libvirt/libvirt-sock'])
      return stdout.split('\n').some(line => Number(line.trim().split(/\s+/)[2]) > 0)
    })
    return client
  }

  it('lets a call finish when it stops, for longer than systemd would wait by itself', async () => {
    await service.override('virtbrokerd.service', '[Service]\nTimeoutStopSec=3\n')
    expect((await list(unix('libvirt-sock'))).status).to.equal(0)
    const libvirtd = await service.property('MainPID', 'libvirtd.service')
    const client = await asking(libvirtd)
    const stop = stopped()
    try {
      await waitFor('its status', async () => (await service.property('StatusText')) === 'draining, 1 client, 1 call')
      // What is tried is a time.
      await sleep(5000)
      expect(await service.state()).to.equal('deactivating')
    } finally {
      await host.exec(['kill', '-CONT', libvirtd])
    }
    await stop
    // Its answer is out when it is closed. If it is about to write just then, that ends it before it has shown the answer.
    await waitFor('its answer, or its end', () => client.stdout.includes('<capabilities>') || client.ended)
    // It may say that it is disconnected.
    expect(client.stderr).not.to.match(/^error: (?!Disconnected from )/m)
    expect(await service.log()).not.to.contain('cut off by the stop')
    await host.exec(['rm', '-r', '/etc/systemd/system/virtbrokerd.service.d'])
    await service.systemctl('daemon-reload')
  })

  it('stops in the end though libvirtd hangs within a call, which is no failure', async () => {
    await service.configure({ ...CONF, shutdown_timeout: 2 })
    expect((await list(unix('libvirt-sock'))).status).to.equal(0)
    const libvirtd = await service.property('MainPID', 'libvirtd.service')
    const client = await asking(libvirtd)
    try {
      await stopped()
      await client.hasSaid('the broker was stopped while this was in progress')
      expect(await service.log()).to.contain('cut off by the stop: 1 client, 1 call, 0 streams')
    } finally {
      await host.exec(['kill', '-CONT', libvirtd])
      await service.configure(CONF)
    }
  })

  it('opens its log anew, for the rotation of files', async () => {
    await service.systemctl('start', 'virtbrokerd.service')
    await host.exec(['mv', LOG, `${LOG}.1`])
    await service.systemctl('kill', '--signal=USR1', 'virtbrokerd.service')
    await waitFor('the new file', async () => (await host.run(['cat', LOG])).stdout.includes('log opened anew'))
    await stopped()
  })

  it('stops though libvirtd hangs', async () => {
    expect((await list(unix('libvirt-sock'))).status).to.equal(0)
    // It listens for events.
    const client = host.spawn(['/usr/bin/python3', '-u', STAYER, unix('libvirt-sock')])
    cleanup.defer(() => client.stop())
    await printed(client, /"ready": true/)
    const libvirtd = await service.property('MainPID', 'libvirtd.service')
    await host.exec(['kill', '-STOP', libvirtd])
    try {
      await stopped()
    } finally {
      await host.exec(['kill', '-CONT', libvirtd])
    }
  })

  it('leaves libvirtd alone', async () => {
    await service.systemctl('restart', 'virtbrokerd.service')
    expect((await list('qemu:///system')).status).to.equal(0)
    for (const unit of ['libvirtd.service', 'libvirtd.socket', 'virtbrokerd.socket']) expect(await service.state(unit)).to.equal('active')
    await stopped()
  })

  it('has units without mistakes, which ask for little', async () => {
    const { status, stdout, stderr } = await host.run(['systemd-analyze', 'verify', 'virtbrokerd.service', ...SOCKETS])
    const about = `${stdout}${stderr}`.split('\n').filter(line => line.includes('virtbroker'))
    expect({ status, about }).to.deep.equal({ status: 0, about: [] })
    const { stdout: score } = await host.run(['systemd-analyze', 'security', 'virtbrokerd.service', '--no-pager'])
    expect(Number(/Overall exposure level for \S+: ([0-9.]+)/.exec(score)?.[1])).to.be.at.most(2.5)
  })
})

describe('the service instead of libvirtd', function () {
  this.timeout(180_000)
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('takes its sockets\' places, and one stops the other', async () => {
    const host = await BootedHost.start(cleanup)
    const service = await InstalledService.on(host, { ...CONF, embedded_test_driver: 1 }, ['instead'])
    await service.systemctl('start', 'libvirtd.socket')
    await host.exec(['virsh', '-c', 'qemu:///system', 'list'])
    await service.systemctl('start', ...SOCKETS)
    expect(await service.state('libvirtd.socket')).to.equal('inactive')
    await host.exec(['virsh', '-c', 'test+unix:///default?socket=/run/libvirt/libvirt-sock', 'list'])
    expect([await service.state('libvirtd.service'), await service.state()]).to.deep.equal(['inactive', 'active'])
    expect((await host.exec(['readlink', '-f', '/run/libvirt/virtproxyd-admin-sock'])).stdout).to.equal('/run/libvirt/libvirt-admin-sock\n')
    await service.systemctl('start', 'libvirtd.socket')
    expect([await service.state('virtbrokerd.socket'), await service.state()]).to.deep.equal(['inactive', 'inactive'])
    await host.exec(['virsh', '-c', 'qemu:///system', 'list'])
  })
})

describe('the service of an ordinary user', function () {
  this.timeout(180_000)
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('is started by the first client, reloaded, and ended', async () => {
    const host = await BootedHost.start(cleanup)
    const service = await InstalledService.on(host, {})
    await host.exec(['useradd', '-m', '-u', '1234', 'joe'])
    await host.exec(['sh', '-ec', `mkdir -p /etc/systemd/user; cp ${service.units}/user/* /etc/systemd/user`])
    await host.exec(['install', '-d', '-o', 'joe', '/home/joe/.config', '/home/joe/.config/libvirt'])
    await service.write('/home/joe/.config/libvirt/virtbrokerd.conf', 'embedded_test_driver = 1\n')
    await service.systemctl('start', 'user@1234.service')
    const own = ['setpriv', '--reuid', 'joe', '--regid', 'joe', '--init-groups', 'env', 'HOME=/home/joe', 'XDG_RUNTIME_DIR=/run/user/1234']
    const asJoe = (...argv: string[]): Promise<Outcome> => host.exec([...own, ...argv])
    const systemctl = (...args: string[]): Promise<Outcome> => asJoe('systemctl', '--user', ...args)
    await systemctl('start', 'virtbrokerd.socket')
    await asJoe('virsh', '-c', 'test+unix:///default?socket=/run/user/1234/virtbroker/libvirt-sock', 'list')
    // The user's own guests are with a daemon that the broker starts, and that stays when the broker ends.
    await asJoe('virsh', '-c', 'qemu+unix:///session?socket=/run/user/1234/virtbroker/libvirt-sock', 'list')
    const libvirtd = (): Promise<Outcome> => host.exec(['cat', '/run/user/1234/libvirt/libvirtd.pid'])
    const { stdout: pid } = await libvirtd()
    await systemctl('reload', 'virtbrokerd.service')
    expect((await systemctl('show', '-P', 'StatusText', 'virtbrokerd.service')).stdout).to.match(/^\d clients?, \d driver connections?\n$/)
    await systemctl('stop', 'virtbrokerd.service')
    expect((await systemctl('show', '-P', 'Result', 'virtbrokerd.service')).stdout).to.equal('success\n')
    await host.exec(['kill', '-0', pid])
    await asJoe('virsh', '-c', 'qemu:///session', 'list')
    expect((await libvirtd()).stdout).to.equal(pid)
    const verified = await asJoe('systemd-analyze', '--user', 'verify', 'virtbrokerd.service', 'virtbrokerd.socket')
    expect(verified.stderr).not.to.contain('virtbroker')
  })
})
