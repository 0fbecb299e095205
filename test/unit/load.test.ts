import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { expect } from 'chai'
import { MESSAGE, STATUS } from '#protocol/header.js'

const bench = (module: string): string => new URL(`../../bench/${module}`, import.meta.url).href

interface Outcome { count: number; failures: number; firstFailure?: string; ms: number }
type User = { frame(client: Client, type: number, status: number, length: number): void }
interface Calling {
  closedLoop(clients: Client[], call: object, ms: number, tally?: undefined, graceMs?: number): Promise<Outcome>
  fixedRate(clients: Client[], call: object, ms: number, rate: number, tally?: undefined, graceMs?: number): Promise<Outcome>
}

/** A client whose server answers, or does not. */
class Client {
  user: User | undefined
  since = 0
  readonly closed = false

  constructor(readonly answers: boolean) {}

  send(): void {
    if (this.answers) setImmediate(() => this.user!.frame(this, MESSAGE.reply, STATUS.ok, 28))
  }
}

const clients = (count: number, answers: boolean): Client[] => Array.from({ length: count }, () => new Client(answers))
const CALL = { procedure: 157, body: new Uint8Array(0) }

describe('the load that is made', () => {
  let calling: Calling
  before(async () => (calling = (await import(bench('load/calling.js'))) as Calling))

  it('has each call as a failure that is not answered, those too that nobody was free to make', async () => {
    const looped = await calling.closedLoop(clients(3, false), CALL, 10, undefined, 10)
    expect([looped.count, looped.failures, looped.firstFailure]).to.deep.equal([0, 3, '3 calls had no reply 10 ms after the end'])
    const paced = await calling.fixedRate(clients(3, false), CALL, 10, 2000, undefined, 10)
    expect([paced.count, paced.failures, paced.firstFailure]).to.deep.equal([0, 20, '20 calls had no reply 10 ms after the end'])
  })

  it('has no higher rate than is asked for, however few the calls', async () => {
    for (const [ms, count] of [[100, 1], [250, 2]] as const) {
      const outcome = await calling.fixedRate(clients(2, true), CALL, ms, 10)
      expect(outcome.count).to.equal(count)
      expect(outcome.count / (outcome.ms / 1000), `${count} calls`).to.be.at.most(10.1)
    }
  })
})

describe('where load goes to', () => {
  interface Target { name: string; address: { host: string } }
  let targetOf: (text: string, addresses?: () => Promise<string[]>) => Promise<Target>
  before(async () => ({ targetOf } = (await import(bench('tool/target.js'))) as { targetOf: typeof targetOf }))

  it('is told the name as libvirt\'s clients tell it', async () => {
    const names = {
      'qemu+tcp://127.0.0.1/system': 'qemu:///system',
      'qemu+tcp://somebody@[::1]:7/session?no_tty=1&mode=direct&more=1&TLS_priority=NORMAL': 'qemu:///session?more=1',
      'test:///default?socket=/run/x&auth=none': 'test:///default',
      'remote+tcp://127.0.0.1/?name=lxc:///system': 'lxc:///system'
    }
    for (const [uri, name] of Object.entries(names)) expect((await targetOf(uri)).name, uri).to.equal(name)
  })

  it('is that address of a host at which somebody listens, or the first', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const uri = `qemu+tcp://several:${(server.address() as AddressInfo).port}/system`
    const reached = async (...addresses: string[]): Promise<string> =>
      (await targetOf(uri, () => Promise.resolve(addresses))).address.host
    expect(await reached('127.0.0.2', '127.0.0.1')).to.equal('127.0.0.1')
    server.close()
    await once(server, 'close')
    expect(await reached('127.0.0.2', '127.0.0.1')).to.equal('127.0.0.2')
  })
})
