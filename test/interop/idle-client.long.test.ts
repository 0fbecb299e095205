import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { Watcher } from '../support/watcher.js'

const minute = 60000
/** What the clients ask for: a ping after each 2 s of silence, and the end after 3 without an answer. */
const keepalive: [number, number] = [2, 3]
const closedByKeepalive = 2

const cleanup = new Cleanup()
const idlers = {} as Record<'TCP' | 'UNIX', Watcher>
let daemon: Libvirtd
let idleSince: number

// Hooks of the root suite: the minute passes while all other tests run.
before(async () => {
  const host = await PrivateHost.start(cleanup)
  daemon = await Libvirtd.start(host, cleanup, { drivers: [] })
  const broker = await Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`] })
  idlers.TCP = await Watcher.start(cleanup, broker.tcpUri('test', '/default'), keepalive)
  idlers.UNIX = await Watcher.start(cleanup, broker.unixUri('test', '/default'), keepalive)
  idleSince = Date.now()
})

after(() => cleanup.run())

describe('a python-libvirt client with keepalive', function () {
  this.timeout(2 * minute)

  for (const route of ['TCP', 'UNIX'] as const) {
    it(`is still connected after a minute of idleness, over ${route}`, async () => {
      await sleep(Math.max(0, idleSince + minute - Date.now()))
      const idler = idlers[route]
      expect(idler.notices, 'so far').to.deep.equal([{ keepalive: 0 }, { watching: true }])
      expect((await idler.call('isAlive')).result).to.equal(1)
      expect((await idler.call('numOfDomains')).result).to.equal(1)
    })
  }

  it('is told when the broker answers no more', async () => {
    const broker = await Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`] })
    const idler = await Watcher.start(cleanup, broker.tcpUri('test', '/default'), [1, 2])
    broker.program.child.kill('SIGSTOP')
    cleanup.defer(() => Promise.resolve(broker.program.child.kill('SIGCONT')))
    expect((await idler.waitFor(notice => notice.closed !== undefined)).closed).to.equal(closedByKeepalive)
    expect((await idler.call('isAlive')).result).to.equal(0)
  })
})
