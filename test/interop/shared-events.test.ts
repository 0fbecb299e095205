import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { carriesCallbackId } from '#protocol/messages/events.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { virshOk } from '../support/clients.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const {
  connectDomainEventRegister: OLDEST, connectDomainEventDeregister: OLDEST_OFF, connectDomainEventRegisterAny: OLDER,
  connectDomainEventDeregisterAny: OLDER_OFF, connectDomainEventCallbackRegisterAny: DOMAIN,
  connectDomainEventCallbackDeregisterAny: DOMAIN_OFF, connectNetworkEventRegisterAny: NETWORK,
  connectStoragePoolEventRegisterAny: POOL, connectSecretEventRegisterAny: SECRET
} = REMOTE

/** The domain that every test:///default has. */
const TEST = new XdrWriter().string('test').fixed(Buffer.from('6695eb01f6a48304 79aa97f2502e193f'.replace(' ', ''), 'hex')).i32(1).finish()
const SECRET_ID = '55555555-eeee-4eee-8eee-000000000001'

type Call = readonly [proc: number, args?: Buffer]

const any = (proc: number, event: number, object?: Buffer): Call => [
  proc, Buffer.concat([new XdrWriter().i32(event).bool(object !== undefined).finish(), object ?? Buffer.alloc(0)])
]
const number = (n: number): Buffer => new XdrWriter().i32(n).finish()
const upTo = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))

/** Ways of registering that clients of several ages have, by the name that they open. */
const WAYS: Record<string, readonly (readonly Call[])[]> = {
  'test:///default': [
    [[OLDEST], ...upTo(15, i => [OLDER, number(i + 1)] as const)],
    upTo(16, i => [OLDER, number(i)] as const),
    upTo(26, i => any(DOMAIN, i)),
    [any(DOMAIN, 0, TEST), any(DOMAIN, 23)],
    [any(DOMAIN, 0), any(DOMAIN, 0, TEST), [OLDER, number(1)]]
  ],
  'network:///system': [[any(NETWORK, 0)]],
  'storage:///system': [[any(POOL, 0), any(POOL, 1)], [any(POOL, 1)]],
  'secret:///system': [[any(SECRET, 0), any(SECRET, 1)], [any(SECRET, 1)]]
}

/** virsh commands (`@/` is the directory with the XML), each of which causes an event at least. */
const DEEDS: Record<string, readonly string[]> = {
  'test:///default': ['suspend test', 'resume test', 'metadata test urn:shared --key note --set <note/>', 'destroy test', 'start test'],
  'network:///system': ['net-define @/net.xml', 'net-start shared', 'net-destroy shared', 'net-undefine shared'],
  'storage:///system': [
    'pool-define-as heap dir --target @/heap', 'pool-build heap', 'pool-start heap', 'pool-refresh heap', 'pool-destroy heap',
    'pool-undefine heap'
  ],
  'secret:///system': ['secret-define @/secret.xml', `secret-set-value ${SECRET_ID} YQ==`, `secret-undefine ${SECRET_ID}`]
}

/** A client that has registered, and what it has heard: procedures and bodies, without what is its own. */
class Ear {
  readonly heard: string[] = []
  readonly ids: number[] = []

  constructor(readonly client: RawClient) {}

  static async open(cleanup: Cleanup, where: string | number, name: string, calls: readonly Call[]): Promise<Ear> {
    const ear = new Ear(await RawClient.connect(cleanup, where))
    expect((await ear.client.open(name)).status).to.equal(STATUS.ok)
    for (const [proc, args] of calls) {
      const { status, payload } = await ear.client.call(proc, args)
      expect(status, `${name} ${proc}`).to.equal(STATUS.ok)
      ear.ids.push(payload.length === 4 ? payload.readInt32BE(0) : -1)
    }
    return ear
  }

  /** Takes what has come. */
  listen(): string[] {
    const events = this.client.inbox.filter(({ type }) => type === MESSAGE.event)
    for (const { prog, proc, payload } of events) {
      const id = carriesCallbackId(prog, proc)
      if (id) expect(this.ids).to.include(payload.readInt32BE(0))
      this.heard.push(`${proc} ${payload.toString('hex', id ? 4 : 0)}`)
    }
    const others = this.client.inbox.filter(({ type }) => type !== MESSAGE.event)
    this.client.inbox.splice(0, Infinity, ...others)
    return this.heard
  }

  /**
   * Of one without a broker: all that was caused before. A daemon sends events in the turn of its loop that follows what has
   * caused them, so that they are on their way before the second of two calls is answered.
   */
  async hearAll(): Promise<string[]> {
    for (let calls = 0; calls < 2; calls++) await this.client.call(REMOTE.connectGetLibVersion)
    return this.listen()
  }

  async says(proc: number, args?: Buffer): Promise<string> {
    const { status, payload } = await this.client.call(proc, args)
    if (status === STATUS.ok) return payload.length === 4 ? 'ok, a number' : `ok ${payload.toString('hex')}`
    const { code, domain, message } = decodeError(payload)
    return `${code} ${domain} ${message}`
  }
}

describe('events of clients that share driver connections, from a real libvirtd', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let daemon: Libvirtd
  let broker: Broker
  let dir: string

  before(async () => {
    const host = await PrivateHost.start(cleanup)
    daemon = await Libvirtd.start(host, cleanup, { drivers: ['network', 'storage', 'secret'] })
    broker = await start()
    dir = await tempDir(cleanup)
    await writeFile(join(dir, 'net.xml'), "<network><name>shared</name><bridge name='vbshared0'/></network>")
    await writeFile(join(dir, 'secret.xml'), `<secret><uuid>${SECRET_ID}</uuid><usage type='ceph'><name>shared</name></usage></secret>`)
  })
  after(() => cleanup.run())

  const start = (): Promise<Broker> =>
    Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`], driver_sharing: 'identity', actor_threads: 2, log_level: 2 })
  const uriOf = (name: string): string => daemon.uri(name.split(':')[0]!, name.split('//')[1]!)

  for (const [name, ways] of Object.entries(WAYS)) {
    it(`are what a client without a broker hears, whoever comes, goes or gets a connection of its own: ${name}`, async () => {
      const direct = await Promise.all(ways.map(way => Ear.open(cleanup, daemon.socket, name, way)))
      const through = await Promise.all(upTo(4 * ways.length, i => Ear.open(cleanup, broker.tcpPort, name, ways[i % ways.length]!)))
      const everything = direct.find((_, i) => ways[i]!.length === Math.max(...ways.map(way => way.length)))!
      let before = 0
      for (const [step, deed] of DEEDS[name]!.entries()) {
        const guest = await Ear.open(cleanup, broker.tcpPort, name, ways[step % ways.length]!)
        const late = Ear.open(cleanup, broker.tcpPort, name, ways[(step + 1) % ways.length]!)
        if (name === 'test:///default') through[step]!.client.post(REMOTE.domainOpenConsole, Buffer.concat([TEST, number(0), number(0)]))
        await virshOk(uriOf(name), deed.replaceAll('@/', `${dir}/`))
        await waitFor(`the events of ${deed}`, () => everything.listen().length > before)
        guest.client.socket.destroy()
        await late
        before = everything.heard.length
      }
      // What comes last shows that nothing more was to come before it.
      const marks = name === 'test:///default' ? 2 : DEEDS[name]!.length
      for (const deed of DEEDS[name]!.slice(0, marks)) await virshOk(uriOf(name), deed.replaceAll('@/', `${dir}/`))
      const counts = await heardBy(direct)
      for (const [i, ear] of through.entries()) {
        const model = direct[i % ways.length]!
        await waitFor(`all events, client ${i}`, () => ear.listen().length >= counts[i % ways.length]!)
        expect(ear.heard, `client ${i}`).to.deep.equal(model.heard).and.not.to.be.empty
      }
      if (name !== 'test:///default') for (const deed of DEEDS[name]!.slice(marks)) await virshOk(uriOf(name), deed)
    })
  }

  /** How many each has heard of what has been done: see `Ear.hearAll`. */
  const heardBy = (ears: readonly Ear[]): Promise<number[]> => Promise.all(ears.map(async ear => (await ear.hearAll()).length))

  it('are refused and given up in the words of the daemon', async () => {
    const calls: readonly Call[] = [
      [OLDEST_OFF], [OLDEST], [OLDEST], [OLDER, number(0)], any(DOMAIN, 0), any(DOMAIN, 0, TEST), any(DOMAIN, 0, TEST),
      [OLDEST_OFF], [OLDEST_OFF], [OLDEST_OFF], [OLDER, number(16)], [OLDER, number(-1)], [OLDER_OFF, number(16)],
      [OLDER_OFF, number(3)], any(DOMAIN, 99), any(DOMAIN, -1), [DOMAIN_OFF, number(9999)], [DOMAIN, Buffer.alloc(3)], [DOMAIN], [OLDER],
      [OLDER_OFF], [DOMAIN_OFF], [OLDEST, Buffer.alloc(12)], [OLDEST_OFF, Buffer.alloc(12)],
      [DOMAIN, Buffer.concat([any(DOMAIN, 1)[1]!, Buffer.alloc(8)])], [OLDER, number(1)], any(NETWORK, 0), any(NETWORK, 0), any(NETWORK, 9),
      [REMOTE.connectNetworkEventDeregisterAny, number(9999)], any(POOL, 0), any(POOL, 0), any(POOL, 9),
      [REMOTE.connectStoragePoolEventDeregisterAny, number(9999)], any(REMOTE.connectNodeDeviceEventRegisterAny, 0),
      any(REMOTE.connectNodeDeviceEventRegisterAny, 0), any(REMOTE.connectNodeDeviceEventRegisterAny, 9),
      [REMOTE.connectNodeDeviceEventDeregisterAny, number(9999)], any(SECRET, 0), any(SECRET, 0), any(SECRET, 9),
      [REMOTE.connectSecretEventDeregisterAny, number(9999)]
    ]
    const direct = await Ear.open(cleanup, daemon.socket, 'test:///default', [])
    const through = await Ear.open(cleanup, broker.tcpPort, 'test:///default', [])
    for (const [proc, args] of calls) {
      expect(await through.says(proc, args), `${proc} ${args?.toString('hex')}`).to.equal(await direct.says(proc, args))
    }
  })

  it('come again when the daemon has been killed and started again, once to each', async () => {
    const ways = WAYS['test:///default']!
    // All who come back there are of this test.
    const broker = await start()
    const ears = await Promise.all(upTo(40, i => Ear.open(cleanup, broker.tcpPort, 'test:///default', ways[i % ways.length]!)))
    const said = /reconnected to the restarted driver daemon, [1-9]\d* registrations/g
    const renewed = (): number => broker.program.stderr.match(said)?.length ?? 0
    const before = renewed()
    await daemon.stop('SIGKILL')
    await daemon.restart()
    await waitFor('all who listen', () => renewed() >= before + ears.length)
    const direct = await Promise.all(ways.map(way => Ear.open(cleanup, daemon.socket, 'test:///default', way)))
    for (const ear of ears) ear.listen().length = 0
    for (const deed of ['suspend test', 'resume test']) await virshOk(uriOf('test:///default'), deed)
    const counts = await heardBy(direct)
    expect(counts.every(count => count >= 2)).to.equal(true)
    for (const [i, ear] of ears.entries()) {
      await waitFor(`all events, client ${i}`, () => ear.listen().length >= counts[i % ways.length]!)
      expect(ear.heard, `client ${i}`).to.deep.equal(direct[i % ways.length]!.heard)
    }
  })
})
