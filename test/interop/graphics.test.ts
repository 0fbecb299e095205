import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { runPython, virshOk } from '../support/clients.js'
import { guestXml } from '../support/guest.js'
import { Libvirtd, startVirtlogd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { openDescriptors } from '../support/process-state.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const DISK_BYTES = 1024 * 1024

describe('file descriptors of a QEMU guest, through the broker', function () {
  this.timeout(60000)
  const cleanup = new Cleanup()
  let broker: Broker
  let xmlPath: string
  let diskPath: string

  before(async () => {
    const host = await PrivateHost.start(cleanup)
    await startVirtlogd(host, cleanup)
    const daemon = await Libvirtd.start(host, cleanup)
    broker = await Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`] })
    const dir = await tempDir(cleanup)
    const watched = join(dir, 'watched.xml')
    await writeFile(watched, guestXml('watched', '33333333-aaaa-4aaa-8aaa-000000000011', "<graphics type='vnc' autoport='yes'/>"))
    await virshOk(broker.unixUri('qemu', '/system'), `create ${watched}`)
    diskPath = join(dir, 'disk.img')
    await writeFile(diskPath, Buffer.alloc(DISK_BYTES))
    xmlPath = join(dir, 'passed.xml')
    const disk = `<disk type='file' device='disk'><driver name='qemu' type='raw'/>
      <source file='${diskPath}' fdgroup='disk'/><target dev='vda' bus='virtio'/></disk>`
    await writeFile(xmlPath, guestXml('passed', '33333333-aaaa-4aaa-8aaa-000000000012', disk))
  })

  after(() => cleanup.run())

  const passFiles = (uri: string, can: string): ReturnType<typeof runPython> =>
    runPython('pass_files.py', [uri, 'watched', xmlPath, diskPath, can])

  it('reach QEMU and come back from it over the UNIX socket', async () => {
    const open = (): number => openDescriptors(broker.program.pid)
    const before = open()
    const { stdout, stderr } = await passFiles(broker.unixUri('qemu', '/system'), 'yes')
    expect(stdout.split('\n'), stderr).to.deep.equal([
      'openGraphics: RFB 003.008',
      'openGraphicsFD: RFB 003.008',
      'FDAssociate: done',
      'started with the file: 1',
      ''
    ])
    await waitFor('descriptors to be closed', () => open() <= before)
  })

  it('are refused by the client library over TCP, because feature 8 says so', async () => {
    const { stdout } = await passFiles(broker.tcpUri('qemu', '/system'), 'no')
    expect(stdout).to.match(/^refused: .*\nrefused: .*\n$/)
    expect(stdout).to.contain('not supported')
  })
})
