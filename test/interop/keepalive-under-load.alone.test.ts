import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { runPython, virshOk } from '../support/clients.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { run } from '../support/processes.js'

/** How long under each load. Each client asks after a second of silence, and gives up a second later. */
const SECONDS = Number(process.env['KEEPALIVE_TEST_SECONDS'] ?? 8)

interface Outcome {
  /** Reasons with which the close callback was called. */
  closed: number[]
  alive: number
  /** Calls or bytes. */
  done: number
  failure: string | null
}

describe('a client with keepalive of one second and one try', function () {
  this.timeout(1000 * SECONDS + 50_000)
  const cleanup = new Cleanup()
  const routes = ['tcp', 'unix'] as const
  let daemon: Libvirtd
  let broker: Broker
  before(async () => {
    const host = await PrivateHost.start(cleanup)
    daemon = await Libvirtd.start(host, cleanup, { drivers: ['storage'] })
    // The broker itself must be more patient with the daemon than the daemon hangs.
    const patience = { keepalive_interval: 5, keepalive_count: Math.max(5, SECONDS / 5) }
    broker = await Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`], ...patience })
    const pool = join(host.dir, 'pool')
    await mkdir(pool)
    await virshOk(daemon.uri('storage', '/system'), `pool-create-as shelf dir --target ${pool}`)
    for (const load of ['download', 'upload']) {
      for (const route of routes) await virshOk(daemon.uri('storage', '/system'), `vol-create-as shelf ${load}-${route} 64M`)
    }
  })
  after(() => cleanup.run())

  const uri = (route: (typeof routes)[number]): string =>
    route === 'tcp' ? broker.tcpUri('storage', '/system') : broker.unixUri('storage', '/system')

  async function underLoad(route: (typeof routes)[number], load: string): Promise<Outcome> {
    // A volume of its own: libvirt refuses to open one that another upload is just opening.
    const args = [uri(route), load, String(SECONDS), `${load}-${route}`]
    const { stdout, stderr } = await runPython('keepalive.py', args, { timeout: 1000 * (SECONDS + 30) })
    expect(stdout, stderr).to.not.equal('')
    return JSON.parse(stdout) as Outcome
  }

  it('stays connected while it calls from twenty threads, downloads and uploads', async () => {
    const loads = ['none', 'calls', 'download', 'upload']
    const outcomes = await Promise.all(loads.flatMap(load => routes.map(route => underLoad(route, load))))
    for (const [index, outcome] of outcomes.entries()) {
      const load = loads[Math.floor(index / 2)]!
      expect(outcome, load).to.include({ alive: 1, failure: null })
      expect(outcome.closed, load).to.deep.equal([])
      if (load !== 'none') expect(outcome.done, load).to.be.greaterThan(100)
    }
  })

  it('stays connected while its driver daemon hangs, with calls waiting, and in the middle of volumes', async () => {
    const waiting = ['calls', 'download', 'upload'].flatMap(load => routes.map(route => underLoad(route, load)))
    await sleep(2500)
    await daemon.signal('SIGSTOP')
    await sleep(1000 * SECONDS - 4000)
    await daemon.signal('SIGCONT')
    for (const outcome of await Promise.all(waiting)) {
      expect(outcome).to.include({ alive: 1, failure: null })
      expect(outcome.closed).to.deep.equal([])
    }
  })

  it('is virsh, too, whose daemon hangs under a call', async () => {
    const hanging = routes.map(async route => {
      const typed = `(echo 'pool-info shelf'; sleep 4; echo 'pool-info shelf'; sleep ${SECONDS - 3})`
      return run(['sh', '-c', `${typed} | virsh -q -k 1 -K 1 -c '${uri(route)}'`], { timeout: 1000 * (SECONDS + 30) })
    })
    await sleep(3000)
    await daemon.signal('SIGSTOP')
    await sleep(1000 * SECONDS - 4000)
    await daemon.signal('SIGCONT')
    for (const { stdout, stderr } of await Promise.all(hanging)) {
      expect(stdout.match(/Name: +shelf/g), stderr).to.have.length(2)
      expect(stderr).to.equal('')
    }
  })
})
