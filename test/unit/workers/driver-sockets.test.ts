import { expect } from 'chai'
import { RemoteError } from '#protocol/errors.js'
import { resolveName } from '#protocol/uri.js'
import { candidatesFor, probeCandidates, type Candidate } from '#workers/driver/driver-sockets.js'
import type { ActorSettings } from '#workers/settings.js'

const settings = (given: Partial<ActorSettings> = {}): ActorSettings =>
  ({
    driverSocketDir: '/run/libvirt',
    driverSockets: [],
    testDriverSocket: undefined,
    ownSockets: ['/run/libvirt/libvirt-sock', '/run/libvirt/libvirt-sock-ro'],
    privileged: true,
    ...given
  }) as ActorSettings

/** Paths of the sockets that are tried for a name. */
const tried = (name: string, given: Partial<ActorSettings> = {}, readonly = false): string[] =>
  paths(candidatesFor(resolveName(name, { aliases: new Map() })!, readonly, settings(given)))
const probed = (given: Partial<ActorSettings> = {}, readonly = false): Candidate[] =>
  probeCandidates(readonly, settings(given))
const paths = (candidates: Candidate[]): string[] => candidates.map(({ path }) => path)

const MODULAR = '/run/libvirt/virtqemud-sock'
/** Our own sockets are somewhere else, so libvirtd's may be here. */
const ELSEWHERE = { ownSockets: ['/tmp/libvirt-sock'] }

describe('the sockets that are tried for a name', () => {
  it('are the modular daemon\'s, and libvirtd\'s unless that one is ours', () => {
    expect(tried('qemu:///system')).to.deep.equal([MODULAR])
    expect(tried('qemu:///system', ELSEWHERE)).to.deep.equal([MODULAR, '/run/libvirt/libvirt-sock'])
  })

  it('are their read-only sisters for read-only clients', () => {
    expect(tried('qemu:///system', ELSEWHERE, true)).to.deep.equal([`${MODULAR}-ro`, '/run/libvirt/libvirt-sock-ro'])
  })

  it('are only the one that the configuration names for the scheme', () => {
    const given = { ...ELSEWHERE, driverSockets: [['qemu', '/q'], ['*', '/all']] as const }
    expect(tried('qemu:///system', given)).to.deep.equal(['/q'])
    expect(tried('lxc:///system', given)).to.deep.equal(['/run/libvirt/virtlxcd-sock', '/all'])
  })

  it('are the embedded driver\'s for test, if it runs', () => {
    expect(tried('test:///default', { testDriverSocket: '/t' })).to.deep.equal(['/t'])
    expect(tried('test:///default')).to.deep.equal(['/run/libvirt/virttestd-sock'])
  })

  it('are none but the one that the client asks for, as it stands', () => {
    const name = 'qemu:///system?socket=/run/libvirt/virtlxcd-sock'
    expect(tried(name, {}, true)).to.deep.equal(['/run/libvirt/virtlxcd-sock'])
  })

  it('may be asked for if the configuration names them', () => {
    const given = { driverSockets: [['qemu', '/q']] as const }
    expect(tried('qemu:///system?socket=/q', given)).to.deep.equal(['/q'])
    expect(tried('qemu:///system?socket=/q-ro', given)).to.deep.equal(['/q-ro'])
  })

  for (const socket of [
    '/etc/x',
    '/run/libvirt/../x',
    '/run/libvirt/sub/x',
    '/run/libvirtx/y',
    '/run/libvirt/libvirt-sock',
    '/run/libvirt/./libvirt-sock',
    '/run/libvirt/x/../libvirt-sock-ro',
    'virtqemud-sock',
    '@abstract',
    ''
  ]) {
    it(`may not be asked for like this: "${socket}"`, () => {
      expect(() => tried(`qemu:///system?socket=${socket}`)).to.throw(RemoteError, 'is not the socket of a driver daemon')
    })
  }
})

describe('the sockets that are tried without a name', () => {
  it('are those of the hypervisors in libvirt\'s order', () => {
    const names = ['xen', 'qemu', 'lxc', 'vbox', 'bhyve', 'vz']
    expect(paths(probed())).to.deep.equal(names.map(name => `/run/libvirt/virt${name}d-sock`))
    expect(probed()[1]).to.include({ name: 'qemu:///system', uri: 'qemu:///system' })
  })

  it('are fewer for an ordinary user', () => {
    expect(probed({ privileged: false }).map(({ name }) => name)).to.deep.equal(['qemu:///session', 'vbox:///session'])
  })

  it('end with libvirtd, which probes for itself, and the embedded driver', () => {
    const last = probed({ ...ELSEWHERE, testDriverSocket: '/t' }).slice(-2)
    expect(last).to.deep.equal([
      { path: '/run/libvirt/libvirt-sock', name: '', uri: undefined },
      { path: '/t', name: 'test:///default', uri: 'test:///default' }
    ])
  })

  it('are read-only ones for read-only clients', () => {
    expect(paths(probed({}, true)).every(path => path.endsWith('-ro'))).to.equal(true)
  })
})
