import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { AdminConnection } from '../support/admin-connection.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { commandOk } from '../support/clients.js'
import { guestXml } from '../support/guest.js'
import { Libvirtd, startVirtlogd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'
import { Watcher } from '../support/watcher.js'

const secretId = '44444444-eeee-4eee-8eee-000000000001'

/** A virsh command (`@/` is the directory with the XML) and the events that follow. */
type Deed = readonly [command: string, ...events: string[]]

const deeds: Record<string, readonly Deed[]> = {
  domain: [
    ['define @/guest.xml', 'tiny defined 0'],
    ['start tiny --paused', 'tiny started 0', 'tiny suspended 0'],
    ['resume tiny', 'tiny resumed 0'],
    ['suspend tiny', 'tiny suspended 0'],
    ['resume tiny', 'tiny resumed 0'],
    ['attach-device tiny @/tablet.xml --live', 'tiny device added ua-tablet'],
    ['detach-device-alias tiny ua-tablet --live', 'tiny device removed ua-tablet'],
    ['metadata tiny urn:watched --key note --set <note/>', 'tiny metadata 2 urn:watched'],
    [
      'blockcopy tiny vda --dest @/copy.img --transient-job --wait --finish --format raw',
      'tiny block job vda type 2 status 3', 'tiny block job vda type 2 status 2'
    ],
    ['save tiny @/tiny.save', 'tiny suspended 0', 'tiny job completed, 2', 'tiny stopped 4'],
    ['restore @/tiny.save', 'tiny started 2', 'tiny resumed 2'],
    ['reset tiny', 'tiny rebooted'],
    ['destroy tiny', 'tiny stopped 1'],
    ['undefine tiny', 'tiny undefined 0']
  ],
  network: [
    ['net-define @/net.xml', 'wire defined'],
    ['net-start wire', 'wire started'],
    ['net-destroy wire', 'wire stopped'],
    ['net-undefine wire', 'wire undefined']
  ],
  pool: [
    ['pool-define-as shelf dir --target @/shelf', 'shelf defined'],
    ['pool-build shelf', 'shelf created'],
    ['pool-start shelf', 'shelf started'],
    ['pool-refresh shelf', 'shelf refresh'],
    ['pool-destroy shelf', 'shelf stopped'],
    ['pool-delete shelf', 'shelf deleted'],
    ['pool-undefine shelf', 'shelf undefined']
  ],
  secret: [
    ['secret-define @/secret.xml', `${secretId} defined`],
    [`secret-set-value ${secretId} YQ==`, `${secretId} value changed`],
    [`secret-undefine ${secretId}`, `${secretId} undefined`]
  ]
}

/**
 * Without the events that depend on who is faster: the firmware may reset the machine once more after a reset, and an
 * emulator that is told to go may be gone before it says that it goes.
 */
function certain(events: string[]): string[] {
  return events.filter((event, index) =>
    event !== 'tiny shutdown 2' && (event !== 'tiny rebooted' || events[index - 1] !== event))
}

describe('events through the broker', function () {
  this.timeout(60000)
  const cleanup = new Cleanup()
  let dir: string
  let host: PrivateHost
  let daemon: Libvirtd
  let broker: Broker
  const watchers = {} as Record<'direct' | 'TCP' | 'UNIX' | 'read-only', Watcher>

  before(async () => {
    host = await PrivateHost.start(cleanup)
    await startVirtlogd(host, cleanup)
    daemon = await Libvirtd.start(host, cleanup)
    broker = await Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`] })
    dir = await tempDir(cleanup)
    await writeFile(join(dir, 'disk.img'), Buffer.alloc(1024 * 1024))
    await writeFile(join(dir, 'guest.xml'), guestXml('tiny', '44444444-aaaa-4aaa-8aaa-000000000001', `
      <controller type='usb' index='0' model='piix3-uhci'/>
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${dir}/disk.img'/>
        <target dev='vda' bus='virtio'/></disk>`))
    await writeFile(join(dir, 'tablet.xml'), "<input type='tablet' bus='usb'><alias name='ua-tablet'/></input>")
    await writeFile(join(dir, 'net.xml'), "<network><name>wire</name><bridge name='vbwire0'/></network>")
    await writeFile(join(dir, 'secret.xml'), `<secret><uuid>${secretId}</uuid>
      <usage type='ceph'><name>watched</name></usage></secret>`)
    watchers.direct = await Watcher.start(cleanup, daemon.uri('qemu', '/system'))
    watchers.TCP = await Watcher.start(cleanup, broker.tcpUri('qemu', '/system'))
    watchers.UNIX = await Watcher.start(cleanup, broker.unixUri('qemu', '/system'))
    watchers['read-only'] = await Watcher.start(cleanup, broker.readonlyUri('qemu', '/system'))
  })

  after(() => cleanup.run())

  for (const [family, steps] of Object.entries(deeds)) {
    it(`of a ${family} reach python-libvirt in order`, async () => {
      const expected: string[] = []
      for (const [command, ...events] of steps) {
        await commandOk(daemon.uri('qemu', '/system'), command.replaceAll('@/', `${dir}/`))
        expected.push(...events)
        // Some events come later than the end of the command.
        await waitFor(`the events of ${command}`, () =>
          certain(watchers.direct.events(family)).length >= expected.length)
      }
      const seen = watchers.direct.events(family)
      expect(certain(seen)).to.deep.equal(expected)
      for (const route of ['TCP', 'UNIX', 'read-only'] as const) {
        const watcher = watchers[route]
        await waitFor(`the last event, ${route}`, () => watcher.events(family).length >= seen.length)
        expect(watcher.events(family), route).to.deep.equal(seen)
      }
    })
  }
})

describe('a client of the broker when the driver daemon is killed', () => {
  const cleanup = new Cleanup()
  let daemon: Libvirtd
  let broker: Broker

  before(async () => {
    const host = await PrivateHost.start(cleanup)
    daemon = await Libvirtd.start(host, cleanup, { drivers: ['storage', 'network', 'secret'] })
    broker = await Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`] })
  })

  after(() => cleanup.run())

  afterEach(async () => {
    await daemon.stop('SIGKILL')
    await daemon.restart()
  })

  for (const route of ['TCP', 'UNIX'] as const) {
    const open = (): Promise<Watcher> => Watcher.start(
      cleanup, route === 'TCP' ? broker.tcpUri('test', '/default') : broker.unixUri('test', '/default'), [5, 5])

    it(`has its close callback called, over ${route}`, async () => {
      const watcher = await open()
      await daemon.stop('SIGKILL')
      expect((await watcher.waitFor(notice => notice.closed !== undefined)).closed).to.equal(1)
    })

    it(`sees the call fail that is under way, and all later ones, over ${route}`, async () => {
      const watcher = await open()
      expect((await watcher.call('numOfDomains')).result).to.equal(1)
      await daemon.signal('SIGSTOP')
      const pending = watcher.call('numOfDomains')
      const admin = await AdminConnection.to(cleanup, broker)
      await admin.untilCalled(1)
      admin.client.destroy()
      await daemon.stop('SIGKILL')
      const { code, domain, message } = await pending
      expect({ code, domain }).to.deep.equal({ code: 38, domain: 7 })
      expect(message).to.be.oneOf([
        'Cannot recv data: Connection reset by peer', 'End of file while reading data: Input/output error'
      ])
      expect(await watcher.call('numOfDomains')).to.deep.equal({
        call: 'numOfDomains', code: 1, domain: 7, message: 'internal error: client socket is closed'
      })
      expect((await watcher.call('isAlive')).result, 'the connection to the broker').to.equal(1)
    })

    it(`can connect again when the daemon is back, over ${route}`, async () => {
      const orphan = await open()
      await daemon.stop('SIGKILL')
      await orphan.waitFor(notice => notice.closed !== undefined)
      await daemon.restart()
      const fresh = await open()
      expect((await fresh.call('numOfDomains')).result).to.equal(1)
      expect((await orphan.call('numOfDomains')).message).to.equal('internal error: client socket is closed')
    })
  }
})
