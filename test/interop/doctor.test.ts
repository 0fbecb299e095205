import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Finding } from '#main/ctl/doctor/finding.js'
import { Cleanup } from '../support/cleanup.js'
import { confText } from '../support/conf-file.js'
import { CTL } from '../support/ctl.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { mustRun } from '../support/processes.js'

describe('virtbrokerctl doctor beside a real libvirtd', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('tells its version, and what libvirt has noted since', async () => {
    const host = await PrivateHost.start(cleanup)
    const libvirtd = await Libvirtd.start(host, cleanup, { drivers: [] })
    const file = join(host.dir, 'broker.conf')
    await writeFile(file, confText({ unix_sock_dir: host.dir, driver_sockets: [`*=${libvirtd.socket}`] }))
    const { status, stdout } = await host.exec([process.execPath, CTL, '-s', join(host.dir, 'none'), 'doctor', '-f', file, '--json'])
    expect(status).to.equal(0)
    const found = (JSON.parse(stdout) as Finding[]).filter(({ check }) => check === 'drivers' || check === 'advisories')
    const version = (await mustRun(['libvirtd', '--version'])).stdout.trim()
    expect(found[0]).to.include({ level: 'ok', check: 'drivers' })
    const [release = ''] = /[\d.]+$/.exec(version)!
    expect(found[0]!.what).to.match(/: libvirtd \(process \d+.*\), libvirt [\d.]+$/).and.contain(`, libvirt ${release}`)
    expect(found.slice(1).every(({ level }) => level === 'note')).to.equal(true)
    if (parseInt(release) < 10) expect(found[1]!.what).to.contain('CVE-2024-2494')
  })
})
