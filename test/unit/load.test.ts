import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { expect } from 'chai'
import { HEADER_BYTES, MESSAGE, readHeader, STATUS } from '#protocol/header.js'
import { replyFrame } from '#protocol/messages/frames.js'

const bench = (module: string): string => new URL(`../../bench/${module}`, import.meta.url).href

interface Outcome { count: number; failures: number; firstFailure?: string; ms: number }
interface User {
  frame(client: Client, type: number, status: number, length: number): void
  lost(client: Client, reason: string): void
}
interface Calling {
  closedLoop(clients: Client[], call: object, ms: number, tally?: undefined, graceMs?: number): Promise<Outcome>
  fixedRate(clients: Client[], call: object, ms: number, rate: number, tally?: undefined, graceMs?: number): Promise<Outcome>
}

/** A client whose server answers, or does not. */
class Client {
  user: User | undefined
  since = 0
  closed = false

  constructor(readonly answers: boolean) {}

  send(): void {
    if (this.answers) setImmediate(() => this.user!.frame(this, MESSAGE.reply, STATUS.ok, 28))
  }

  lose(): void {
    this.closed = true
    this.user!.lost(this, 'gone')
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

  it('ends when nobody is left to call, with one failure for each', async () => {
    const hour = 3_600_000
    const crowd = clients(3, false)
    const paced = calling.fixedRate(crowd, CALL, hour, 1)
    for (const client of crowd) client.lose()
    const { count, failures, firstFailure, ms } = await paced
    expect([count, failures, firstFailure]).to.deep.equal([0, 3, 'gone'])
    expect(ms).to.be.below(hour)
    expect((await calling.fixedRate(crowd, CALL, hour, 1)).count, 'of those that had gone before').to.equal(0)
  })

  it('goes on with the others when the first is lost as it calls', async () => {
    const [first, second] = [new Client(false), new Client(true)]
    first.send = () => first.lose()
    const { count, failures, firstFailure } = await calling.closedLoop([first, second], CALL, 10)
    expect([failures, firstFailure]).to.deep.equal([1, 'gone'])
    expect(count).to.be.above(0)
  })

  it('has no higher rate than is asked for, however few the calls', async () => {
    for (const [ms, count] of [[100, 1], [250, 2]] as const) {
      const outcome = await calling.fixedRate(clients(2, true), CALL, ms, 10)
      expect(outcome.count).to.equal(count)
      expect(outcome.count / (outcome.ms / 1000), `${count} calls`).to.be.at.most(10.1)
    }
  })
})

describe('clients that open', () => {
  interface Target { address: { host: string; port: number }; name: string }
  let openClients: (target: Target, wanted: number, parallel: number, into: unknown[]) => Promise<Outcome>
  before(async () => ({ openClients } = (await import(bench('load/opening.js'))) as { openClients: typeof openClients }))

  /** Two, at once, at a server that does this with what each of them sends. */
  async function openTwo(served: (socket: Socket, call: Buffer) => void): Promise<Outcome> {
    const server = createServer(socket => socket.on('data', call => served(socket, call)).on('error', () => undefined))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
    const outcome = await openClients({ address, name: 'test:///default' }, 2, 2, [])
    server.close()
    return outcome
  }

  it('have failed where nobody speaks their protocol', async () => {
    for (const bytes of [Buffer.alloc(HEADER_BYTES), Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')]) {
      const { count, failures, firstFailure } = await openTwo(socket => socket.write(bytes))
      expect([count, failures]).to.deep.equal([0, 2])
      expect(firstFailure).to.contain('does not speak libvirt\'s protocol')
    }
  })

  it('have failed when they are closed while others are still to come', async () => {
    let first: Promise<unknown> | undefined
    const { count, failures, firstFailure } = await openTwo((socket, call) => {
      const reply = replyFrame(readHeader(call, 0))
      if (first !== undefined) return void first.then(() => socket.write(reply))
      socket.end(reply)
      // It is so when the client has seen that.
      first = once(socket, 'close')
    })
    expect([count, failures, firstFailure]).to.deep.equal([2, 1, 'closed by the other end'])
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
