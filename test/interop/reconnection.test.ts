import { expect } from 'chai'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { startPython, virshOk } from '../support/clients.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import type { Program } from '../support/processes.js'
import { waitFor } from '../support/waiting.js'

interface Said {
  ready?: boolean
  event?: string
  call?: string
  result?: unknown
  code?: number
  message?: string
}

/** The client of python/stayer.py. */
class Stayer {
  #asked = 0

  private constructor(readonly program: Program) {}

  static async start(cleanup: Cleanup, uri: string): Promise<Stayer> {
    const stayer = new Stayer(startPython('stayer.py', uri))
    cleanup.defer(() => stayer.program.stop())
    await stayer.#waitFor('it to be ready', () => stayer.said.some(({ ready }) => ready))
    return stayer
  }

  get said(): Said[] {
    return this.program.stdout.split('\n').slice(0, -1).map(line => JSON.parse(line) as Said)
  }

  get events(): string[] {
    return this.said.flatMap(({ event }) => event ?? [])
  }

  async call(method: string): Promise<Said> {
    const nth = this.#asked++
    this.program.child.stdin.write(`${method}\n`)
    return this.#waitFor(`an answer to ${method}`, () => this.said.filter(({ call }) => call !== undefined)[nth])
  }

  async hears(event: string): Promise<void> {
    await this.#waitFor(event, () => this.events.includes(event) || undefined)
  }

  #waitFor<T>(what: string, probe: () => T | undefined): Promise<T> {
    return waitFor<T>(what, () => {
      if (this.program.ended) throw new Error(`the client ended: ${this.program.describe()}`)
      return probe()
    })
  }
}

describe('a python-libvirt client without a close callback, when libvirtd is killed and started again', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let daemon: Libvirtd
  let broker: Broker
  before(async () => {
    daemon = await Libvirtd.start(await PrivateHost.start(cleanup), cleanup, { drivers: [] })
    // A call that waited for the daemon to be there again would wait longer than anybody here.
    const conf = { driver_sockets: [`*=${daemon.socket}`], driver_connect_timeout: 600, log_level: 2 }
    broker = await Broker.start(cleanup, conf)
  })
  after(() => cleanup.run())

  const lost = (): number => broker.program.stderr.split('driver daemon lost').length
  const reconnected = (): number => broker.program.stderr.match(/reconnected .* 3 registrations renewed/g)?.length ?? 0

  for (const route of ['tcp', 'unix'] as const) {
    it(`goes on over ${route}: its calls, its streams, its events and the end of these`, async () => {
      const uri = route === 'tcp' ? broker.tcpUri('test', '/default') : broker.unixUri('test', '/default')
      const stayer = await Stayer.start(cleanup, uri)
      expect((await stayer.call('numOfDomains')).result).to.equal(1)
      const [lostBefore, before] = [lost(), reconnected()]
      await daemon.stop('SIGKILL')
      await waitFor('the loss to be noticed', () => lost() > lostBefore)
      for (let calls = 0; calls < 2; calls++) {
        expect((await stayer.call('numOfDomains')).code, 'error code while the daemon is down').to.be.oneOf([1, 38])
      }
      await daemon.restart()
      // Without a call of the client's: it is reconnected because it listens.
      await waitFor('the registrations', () => reconnected() > before)
      const direct = daemon.uri('test', '/default')
      await virshOk(direct, 'destroy test')
      await stayer.hears('domain test 5')
      await virshOk(direct, 'net-destroy default')
      await stayer.hears('network default 3')
      expect((await stayer.call('forget')).result).to.equal(true)
      await virshOk(direct, 'start test')
      await stayer.hears('domain test 2')
      expect((await stayer.call('numOfDomains')).result).to.equal(1)
      expect((await stayer.call('screenshot')).result).to.be.greaterThan(1000)
      await virshOk(direct, 'net-start default')
    })
  }
})
