import { expect } from 'chai'
import { BootedHost } from '../support/booted-host.js'
import { brokerCommand } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import { confText } from '../support/conf-file.js'
import type { Outcome } from '../support/processes.js'
import { waitFor } from '../support/waiting.js'

const SOCKET = '/run/libvirt/libvirt-sock'
const UNITS = ['libvirtd.socket', 'libvirtd-ro.socket', 'libvirtd-admin.socket']

describe('beside the libvirtd of a real systemd', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let host: BootedHost
  before(async () => {
    host = await BootedHost.start(cleanup)
    const conf = { auth_unix_rw: 'none', auth_unix_ro: 'none', embedded_test_driver: 1, log_outputs: '3:stderr' }
    await host.exec(['tee', '/root/broker.conf'], { input: confText(conf) })
    await host.exec(['systemctl', 'start', ...UNITS])
  })
  after(() => cleanup.run())

  const broker = (...args: string[]): string[] => brokerCommand('-f', '/root/broker.conf', ...args)
  const start = (): Promise<Outcome> => host.run(broker())
  const state = async (unit: string): Promise<string> => (await host.run(['systemctl', 'is-active', unit])).stdout.trim()
  const identity = async (): Promise<string> => (await host.exec(['stat', '-c', '%d %i %a %Y', SOCKET, `${SOCKET}-ro`])).stdout
  const listAll = ['virsh', '-c', `qemu+unix:///system?socket=${SOCKET}`, 'list', '--all']

  it('the broker is not started while systemd listens, and names the unit', async () => {
    const before = await identity()
    expect((await host.run(broker('--check-config'))).status).to.equal(0)
    expect(await state('libvirtd.service'), 'after the check').to.equal('inactive')
    const { status, stderr } = await start()
    expect(stderr).to.contain(
      `'${SOCKET}' is in use by systemd, for libvirtd.socket: stop that first (systemctl stop libvirtd.service ` +
      `${UNITS.join(' ')}), or set unix_sock_dir`
    )
    expect(status).to.equal(6)
    expect(await identity()).to.equal(before)
  })

  it('nor while libvirtd runs, which goes on serving', async () => {
    await host.exec(listAll)
    await waitFor('libvirtd', async () => await state('libvirtd.service') === 'active')
    const { status, stderr } = await start()
    expect(stderr).to.match(/libvirt-sock' is in use by process \d+ \(libvirtd, libvirtd.service\): stop that first /)
    expect(status).to.equal(6)
    await host.exec(listAll)
  })

  it('doing what it says makes room, and leaves room for libvirtd again', async () => {
    const [, advice = ''] = /stop that first \((systemctl stop [^)]*)\)/.exec((await start()).stderr) ?? []
    await host.exec(advice.split(' '))
    const program = host.spawn(broker())
    const listTest = ['virsh', '-c', `test+unix:///default?socket=${SOCKET}`, 'list']
    await waitFor('the broker', async () => {
      if (program.ended) throw new Error(program.describe())
      return /test +running/.test((await host.run(listTest)).stdout)
    })
    await host.exec(['sh', '-c', 'kill $(cat /run/virtbrokerd.pid)'])
    expect((await program.exited).status).to.equal(0)
    expect((await host.run(['ls', SOCKET, `${SOCKET}-ro`, '/run/virtbrokerd.pid'])).stdout).to.equal('')
    await host.exec(['systemctl', 'start', ...UNITS])
    await host.exec(listAll)
  })
})
