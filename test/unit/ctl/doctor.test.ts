import { expect } from 'chai'
import { advisoriesFor, releaseOf } from '#main/ctl/doctor/advisories.js'
import { certificate } from '#main/ctl/doctor/configuration.js'
import { socketsOf } from '#main/ctl/doctor/socket-units.js'
import { unitsIn } from '#main/ctl/doctor/systemctl.js'

describe('what the doctor knows', () => {
  it('is the release that a daemon says it is', () => {
    expect(releaseOf('virtqemud (libvirt) 11.3.0\n')).to.deep.equal([11, 3, 0])
    expect(releaseOf('libvirtd (libvirt) 9.0.0')).to.deep.equal([9, 0, 0])
    expect(releaseOf('something else 1.2.3')).to.equal(undefined)
  })

  it('is which notes of later releases concern a daemon', () => {
    expect(advisoriesFor('virtstoraged', [9, 5, 9])).to.include('CVE-2023-3750').and.not.include('CVE-2024-1441')
    expect(advisoriesFor('virtstoraged', [9, 6, 0])).not.to.include('CVE-2023-3750')
    expect(advisoriesFor('virtstoraged', [8, 2, 0])).not.to.include('CVE-2023-3750')
    expect(advisoriesFor('virtinterfaced', [10, 6, 0])).to.include('CVE-2024-8235')
    expect(advisoriesFor('virtinterfaced', [10, 10, 0])).not.to.include('CVE-2024-8235')
    expect(advisoriesFor('libvirtd', [9, 0, 0])).to.include.members(['CVE-2023-3750', 'CVE-2024-1441', 'CVE-2024-2494'])
    expect(advisoriesFor('libvirtd', [13, 0, 0])).to.deep.equal([])
  })

  it('is when a certificate has to be renewed', () => {
    const now = Date.UTC(2026, 0, 1)
    const levelIn = (days: number): string => certificate('/x.pem', 'server', now + days * 86_400_000, now).level
    expect([6, 7, 29, 30].map(levelIn)).to.deep.equal(['problem', 'note', 'note', 'ok'])
    expect(certificate('/x.pem', 'CA', now + 8 * 86_400_000, now).what).to.equal('/x.pem (CA) ends 2026-01-09, in 8 days')
  })

  it('is what systemd tells of units', () => {
    const text = 'Id=a.service\nActiveState=active\n\nId=b.socket\nActiveState=failed\nResult=exit-code=1\n'
    expect(unitsIn(text)).to.deep.equal([
      { Id: 'a.service', ActiveState: 'active' },
      { Id: 'b.socket', ActiveState: 'failed', Result: 'exit-code=1' }
    ])
  })

  it('is which sockets systemd gives the broker', () => {
    const unit = (name: string, state: string, listen: readonly string[], mode = '0666'): string =>
      [`Id=${name}.socket`, ...listen.map(place => `Listen=${place} (Stream)`), `ActiveState=${state}`, `SocketMode=${mode}`].join('\n')
    const main = unit('virtbrokerd', 'active', ['/run/virtbroker/libvirt-sock'])
    const others = [
      unit('virtbrokerd-admin', 'active', ['/run/virtbroker/libvirt-admin-sock'], '0600'),
      unit('virtbrokerd-tcp', 'inactive', ['[::]:16509']),
      unit('virtbrokerd-tls', 'active', ['[::]:16514', '192.0.2.1:17514']),
      unit('libvirtd', 'active', ['/run/libvirt/libvirt-sock'])
    ]
    const fd = -1
    expect([...socketsOf(unitsIn([main, ...others].join('\n\n')))!]).to.deep.equal([
      ['main', [{ fd, place: '/run/virtbroker/libvirt-sock', reach: { mode: 0o666 } }]],
      ['admin', [{ fd, place: '/run/virtbroker/libvirt-admin-sock', reach: { mode: 0o600 } }]],
      ['tls', [{ fd, place: '[::]:16514', reach: { ip: '::' } }, { fd, place: '192.0.2.1:17514', reach: { ip: '192.0.2.1' } }]]
    ])
    // The service is bound to the main one.
    expect(socketsOf(unitsIn(others.join('\n\n')))).to.equal(undefined)
  })
})
