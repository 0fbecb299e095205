import { expect } from 'chai'
import { RemoteError } from '#protocol/errors.js'
import { KnownNames } from '#workers/driver/known-names.js'
import type { ActorSettings } from '#workers/thread/settings.js'

const settings = {
  driverSocketDir: '/run/libvirt',
  driverSockets: [],
  testDriverSocket: undefined,
  ownSockets: ['/run/libvirt/libvirt-sock', '/run/libvirt/libvirt-sock-ro'],
  uriAliases: [['hail', 'lxc:///system']],
  place: 'system'
} as unknown as ActorSettings

const paths = (names: KnownNames, name: string | undefined, readonly = false): string[] =>
  names.find(name, readonly).candidates.map(({ path }) => path)

describe('names that clients open', () => {
  it('are worked out once', () => {
    const names = new KnownNames(settings)
    expect(names.find('qemu:///system', false)).to.equal(names.find('qemu:///system', false))
  })

  it('lead somewhere else for read-only clients', () => {
    const names = new KnownNames(settings)
    expect(paths(names, 'qemu:///system')).to.deep.equal(['/run/libvirt/virtqemud-sock'])
    expect(paths(names, 'qemu:///system', true)).to.deep.equal(['/run/libvirt/virtqemud-sock-ro'])
  })

  it('may be aliases', () => {
    expect(paths(new KnownNames(settings), 'hail')).to.deep.equal(['/run/libvirt/virtlxcd-sock'])
  })

  it('may be missing: then whatever is there will do', () => {
    const names = new KnownNames(settings)
    expect(names.find(undefined, false)).to.equal(names.find('', false))
    expect(names.find('', false).sought).to.equal(undefined)
    expect(names.find('qemu:///system', false).sought).to.equal('/run/libvirt/virtqemud-sock')
  })

  it('are refused each time if they lead nowhere', () => {
    const names = new KnownNames(settings)
    for (let i = 0; i < 2; i++) expect(() => names.find('qemu://elsewhere/system', false)).to.throw(RemoteError)
  })

  it('do not fill memory, however many there are and however long', () => {
    const names = new KnownNames(settings)
    const long = `qemu:///system?a=${'b'.repeat(1000)}`
    expect(names.find(long, false)).not.to.equal(names.find(long, false))
    const first = names.find('qemu:///0', false)
    for (let i = 1; i <= 100; i++) names.find(`qemu:///${i}`, false)
    expect(names.find('qemu:///0', false)).not.to.equal(first)
  })
})
