import { expect } from 'chai'
import { RemoteError } from '#protocol/errors.js'
import { resolveName } from '#protocol/uri.js'
import { wayTo, wayToAny, type Candidate } from '#workers/driver/driver-sockets.js'
import type { ActorSettings } from '#workers/thread/settings.js'

const settings = (given: Partial<ActorSettings> = {}): ActorSettings =>
  ({
    driverSocketDir: '/run/libvirt',
    driverSockets: [],
    testDriverSocket: undefined,
    ownSockets: ['/run/libvirt/libvirt-sock', '/run/libvirt/libvirt-sock-ro'],
    place: 'system',
    startsDaemons: false,
    ...given
  }) as ActorSettings

const way = (name: string, given: Partial<ActorSettings> = {}, readonly = false) =>
  wayTo(resolveName(name, { aliases: new Map() })!, readonly, settings(given))
/** Paths of the sockets that are tried for a name. */
const tried = (...args: Parameters<typeof way>): string[] => paths(way(...args).candidates)
const probed = (given: Partial<ActorSettings> = {}, readonly = false): readonly Candidate[] =>
  wayToAny(readonly, settings(given)).candidates
const paths = (candidates: readonly Candidate[]): string[] => candidates.map(({ path }) => path)

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

  it('are none but the one that the client asks for, or its sister', () => {
    for (const socket of ['virtlxcd-sock', 'virtlxcd-sock-ro', './virtlxcd-sock', 'x/../virtlxcd-sock']) {
      const name = `qemu:///system?socket=/run/libvirt/${socket}`
      expect(tried(name)).to.deep.equal(['/run/libvirt/virtlxcd-sock'])
      expect(tried(name, {}, true), 'read-only').to.deep.equal(['/run/libvirt/virtlxcd-sock-ro'])
    }
    expect(tried('qemu:///system?socket=/run/libvirt/libvirt-sock', ELSEWHERE)).to.deep.equal(['/run/libvirt/libvirt-sock'])
  })

  it('may be asked for if the configuration names them', () => {
    const given = { driverSockets: [['qemu', '/q']] as const }
    for (const socket of ['/q', '/q-ro']) {
      expect(tried(`qemu:///system?socket=${socket}`, given)).to.deep.equal(['/q'])
      expect(tried(`qemu:///system?socket=${socket}`, given, true)).to.deep.equal(['/q-ro'])
    }
  })

  it('are those of drivers only, whatever else there may be in their directory', () => {
    for (const scheme of ['log', 'lock', 'bogus', 'proxy', 'QEMU']) {
      expect(way(`${scheme}:///system`)).to.deep.equal({ candidates: [], sought: `/run/libvirt/virt${scheme}d-sock`, starts: [] })
      expect(tried(`${scheme}:///system`, ELSEWHERE)).to.deep.equal(['/run/libvirt/libvirt-sock'])
    }
    expect(tried('bogus:///system', { driverSockets: [['bogus', '/b']] })).to.deep.equal(['/b'])
  })

  it('are known to be the right ones by their owner, unless the configuration names them', () => {
    const named = (...args: Parameters<typeof way>): boolean[] => way(...args).candidates.map(candidate => candidate.named)
    expect(named('qemu:///system', ELSEWHERE)).to.deep.equal([false, false])
    expect(named('qemu:///system?socket=/run/libvirt/virtqemud-sock')).to.deep.equal([false])
    expect(named('qemu:///system', { driverSockets: [['qemu', '/q']] }, true)).to.deep.equal([true])
    expect(named('qemu:///system', { driverSockets: [['*', '/all']] })).to.deep.equal([false, true])
    expect(named('test:///default', { testDriverSocket: '/t' })).to.deep.equal([true])
    expect(wayToAny(false, settings({ ...ELSEWHERE, testDriverSocket: '/t' })).candidates.map(one => one.named).slice(-2))
      .to.deep.equal([false, true])
  })

  it('are none for a name that makes a daemon read a file, unless it is the embedded driver', () => {
    for (const name of ['test:///etc/passwd', 'qemu:///system?name=test:///etc/passwd', 'test:///x?socket=/run/libvirt/virtqemud-sock']) {
      for (const given of [{}, ELSEWHERE, { driverSockets: [['test', '/real']] as const }]) {
        expect(() => tried(name, given), name).to.throw(RemoteError, 'only test:///default can be opened here')
      }
    }
    expect(tried('test:///etc/node.xml', { testDriverSocket: '/t' })).to.deep.equal(['/t'])
  })

  for (const socket of [
    '/etc/x',
    '/run/libvirt/../x',
    '/run/libvirt/sub/x',
    '/run/libvirtx/y',
    '/run/libvirt/libvirt-sock',
    '/run/libvirt/./libvirt-sock',
    '/run/libvirt/virtlogd-sock',
    '/run/libvirt/virtlockd-sock-ro',
    '/run/libvirt/virtqemud-admin-sock',
    '/run/libvirt/libvirt-admin-sock',
    '/run/libvirt/virtqemud-sock-ro-ro',
    '/run/libvirt/virtqemud-sock/',
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

describe('the daemons that are started for a session', () => {
  const session = { ...ELSEWHERE, place: 'session', startsDaemons: true } as const
  const started = (name: string, given: Partial<ActorSettings> = {}): readonly string[] => way(name, { ...session, ...given }).starts

  it('are the driver\'s own, or libvirtd unless we listen in its place', () => {
    expect(started('qemu:///session')).to.deep.equal(['virtqemud', 'libvirtd'])
    expect(started('network:///session')).to.deep.equal(['virtnetworkd', 'libvirtd'])
    expect(started('qemu:///session', { ownSockets: ['/run/libvirt/libvirt-sock'] })).to.deep.equal(['virtqemud'])
    expect(started('qemu:///session?socket=/run/libvirt/virtlxcd-sock')).to.deep.equal(['virtlxcd'])
  })

  it('are hypervisors, in their order, for a client that names nothing', () => {
    expect(wayToAny(false, settings(session)).starts).to.deep.equal(['virtqemud', 'virtvboxd', 'libvirtd'])
  })

  it('are none for other names, none that the configuration names, and none where that is not wanted', () => {
    expect(started('qemu:///system')).to.deep.equal([])
    expect(started('qemu:///session', { driverSockets: [['qemu', '/q']] })).to.deep.equal([])
    expect(started('qemu:///session', { startsDaemons: false })).to.deep.equal([])
    expect(wayToAny(false, settings({ ...session, startsDaemons: false })).starts).to.deep.equal([])
  })

  it('have one socket for all clients', () => {
    expect(tried('qemu:///session', session, true)).to.deep.equal([MODULAR, '/run/libvirt/libvirt-sock'])
    expect(tried('qemu:///session', { ...session, driverSockets: [['qemu', '/q']] }, true)).to.deep.equal(['/q-ro'])
  })
})

describe('the sockets that are tried without a name', () => {
  it('are those of the hypervisors in libvirt\'s order', () => {
    const names = ['xen', 'qemu', 'lxc', 'vbox', 'bhyve', 'vz']
    expect(paths(probed())).to.deep.equal(names.map(name => `/run/libvirt/virt${name}d-sock`))
    expect(probed()[1]).to.include({ name: 'qemu:///system', uri: 'qemu:///system' })
  })

  it('are fewer for an ordinary user', () => {
    expect(probed({ place: 'session' }).map(({ name }) => name)).to.deep.equal(['qemu:///session', 'vbox:///session'])
  })

  it('end with libvirtd, which probes for itself, and the embedded driver', () => {
    const last = probed({ ...ELSEWHERE, testDriverSocket: '/t' }).slice(-2)
    expect(last).to.deep.equal([
      { path: '/run/libvirt/libvirt-sock', named: false, name: '', uri: undefined },
      { path: '/t', named: true, name: 'test:///default', uri: 'test:///default' }
    ])
  })

  it('are read-only ones for read-only clients', () => {
    expect(paths(probed({}, true)).every(path => path.endsWith('-ro'))).to.equal(true)
  })
})
