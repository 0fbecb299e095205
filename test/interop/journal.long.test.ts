import { join } from 'node:path'
import { expect } from 'chai'
import { AUDIT_MESSAGE_IDS } from '#main/audit/journal-entry.js'
import { MESSAGE_KINDS, type MessageKind } from '#workers/base/log-kinds.js'
import { BootedHost } from '../support/booted-host.js'
import { Cleanup } from '../support/cleanup.js'
import { InstalledService } from '../support/installed-service.js'
import { waitFor } from '../support/waiting.js'

const SOCKET = '/run/virtbroker/libvirt-sock'
const JOURNALD = ['systemd-journald.service', 'systemd-journald.socket', 'systemd-journald-dev-log.socket']

describe('the journal of a real systemd', function () {
  this.timeout(180_000)
  const cleanup = new Cleanup()
  let host: BootedHost
  let service: InstalledService
  before(async () => {
    host = await BootedHost.start(cleanup)
    service = await InstalledService.on(host, {})
    await host.exec(['sh', '-ec', `cp ${join(service.units, 'virtbroker.catalog')} /usr/lib/systemd/catalog; journalctl --update-catalog`])
    await service.systemctl('start', ...JOURNALD, 'libvirtd.socket', 'libvirtd-ro.socket', 'virtbrokerd.socket')
  })
  after(() => cleanup.run())

  async function entries(...matches: string[]): Promise<Record<string, string>[]> {
    await host.exec(['journalctl', '--sync'])
    const { stdout } = await host.run(['journalctl', '-o', 'json', 'SYSLOG_IDENTIFIER=virtbrokerd', ...matches])
    return stdout.split('\n').filter(line => line !== '').map(line => JSON.parse(line) as Record<string, string>)
  }
  const ofKind = (kind: MessageKind): Promise<Record<string, string>[]> => entries(`MESSAGE_ID=${MESSAGE_KINDS[kind].id}`)

  const offend = async (): Promise<void> => void (await host.run(['sh', '-c', `head -c 28 /dev/zero | nc -N -U ${SOCKET}`]))
  const offences = async (): Promise<number> => (await ofKind('protocol-violation')).length

  it('has no entry at the default level while nothing is wrong: start, clients, reload, stop', async () => {
    for (let round = 0; round < 2; round++) {
      for (let client = 0; client < 3; client++) await host.exec(['virsh', '-c', `qemu+unix:///system?socket=${SOCKET}`, 'list', '--all'])
      await service.systemctl('reload', 'virtbrokerd.service')
      await service.systemctl('stop', 'virtbrokerd.service')
    }
    expect(await entries()).to.deep.equal([])
  })

  it('has fields for what the message is about, and its kind', async () => {
    await offend()
    await waitFor('the entry', async () => (await offences()) === 1)
    const [entry] = await ofKind('protocol-violation')
    expect(entry).to.include({
      MESSAGE_ID: MESSAGE_KINDS['protocol-violation'].id, VIRTBROKER_KIND: 'protocol-violation', PRIORITY: '3', SYSLOG_FACILITY: '3',
      LIBVIRT_SOURCE: 'rpc.netserverclient', VIRTBROKER_LISTENER: 'main', VIRTBROKER_UID: '0', _SYSTEMD_UNIT: 'virtbrokerd.service'
    })
    const { VIRTBROKER_CLIENT: id, VIRTBROKER_PID: pid, MESSAGE } = entry!
    expect(MESSAGE).to.equal(`client ${id} at uid 0, pid ${pid}: closed: frame length 0 is not legal`)
  })

  it('explains it', async () => {
    const { stdout } = await host.exec(['journalctl', '-x', '--no-pager', 'VIRTBROKER_KIND=protocol-violation'])
    const { subject, meaning } = MESSAGE_KINDS['protocol-violation']
    expect(stdout).to.contain(`Subject: ${subject}`).and.contain(meaning)
  })

  it('has the records of an audit that goes there, for administrators', async () => {
    const list = ['virsh', '-c', `qemu+unix:///system?socket=${SOCKET}`, 'list']
    await host.exec(list)
    await service.configure({ audit_output: 'journald' })
    await service.systemctl('reload', 'virtbrokerd.service')
    await waitFor('a record', async () => {
      await host.exec(list)
      return (await entries('VIRTBROKER_OPERATION=CONNECT_OPEN')).length > 0
    })
    const [entry] = await entries('VIRTBROKER_OPERATION=CONNECT_OPEN')
    expect(entry).to.include({ MESSAGE_ID: AUDIT_MESSAGE_IDS[6003], SYSLOG_FACILITY: '10', VIRTBROKER_UID: '0', VIRTBROKER_STATUS: '0' })
    expect(JSON.parse(entry!.VIRTBROKER_AUDIT!)).to.include({ class_uid: 6003, status_id: 1 })
    await service.configure({})
    await service.systemctl('reload', 'virtbrokerd.service')
  })

  it('gets the next entry when journald was restarted', async () => {
    await service.systemctl('restart', 'systemd-journald.service')
    const before = await offences()
    await offend()
    await waitFor('the entry', async () => (await offences()) > before)
  })

  it('gets the next entry when its sockets were made anew, and is told what was lost', async () => {
    const before = await offences()
    await service.systemctl('stop', ...JOURNALD)
    await offend()
    await offend()
    await service.systemctl('start', ...JOURNALD)
    await offend()
    await waitFor('the count', async () => (await ofKind('log-lost')).length === 1)
    const [lost] = await ofKind('log-lost')
    const count = Number(/^(\d+) lines of the log were lost here/.exec(lost!.MESSAGE!)?.[1])
    expect(count).to.be.above(0)
    // A line that was late has come.
    await waitFor('the others', async () => (await offences()) - before + count === 3)
  })
})
