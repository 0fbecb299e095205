import { expect } from 'chai'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { frame } from '../support/frame-socket.js'
import { residentMiB } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const MIB = 1024 * 1024

/** What a client may cause that has not logged in, on a socket where it would have to. */
describe('a client that has not logged in', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const start = (): Promise<Stage> =>
    Stage.start(cleanup, { auth_tcp: 'sasl', max_anonymous_clients: 0, actor_threads: 1, log_level: 1 })

  it('is closed when it goes on after it was refused many times', async () => {
    const stage = await start()
    const client = await stage.connect()
    client.write(Buffer.concat(Array.from({ length: 5000 }, (_, serial) => frame({ proc: REMOTE.domainGetInfo, serial }))))
    await waitFor('its end', () => client.closed)
    expect(client.inbox.length).to.be.within(1, 64)
    for (const { status, type } of client.inbox) expect([type, status]).to.deep.equal([MESSAGE.reply, STATUS.error])
    await waitFor('the log', () => /too many calls that were refused before it logged in/.test(stage.broker.program.stderr))
  })

  it('is closed as well when the calls are those of another way to log in', async () => {
    const stage = await start()
    const client = await stage.connect()
    client.write(Buffer.concat(Array.from({ length: 500 }, (_, serial) => frame({ proc: REMOTE.authPolkit, serial }))))
    await waitFor('its end', () => client.closed)
    expect(client.inbox.length).to.be.at.most(64)
  })

  it('is not closed for asking a few times what it may not, and for asking for the ways to log in', async () => {
    const stage = await start()
    const client = await stage.connect()
    for (let i = 0; i < 20; i++) {
      expect((await client.call(REMOTE.domainGetInfo)).status).to.equal(STATUS.error)
      expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    }
  })

  const peers = async (stage: Stage, count: number): Promise<RawClient[]> => {
    const clients: RawClient[] = []
    for (let i = 0; i < count; i++) clients.push(await stage.connect())
    return clients
  }

  it('has nothing kept of calls with descriptors, however long', async () => {
    const stage = await start()
    const { pid } = stage.broker.program
    const clients = await peers(stage, 60)
    const before = residentMiB(pid)
    const long = frame({ type: MESSAGE.callWithFds, proc: REMOTE.domainCreateXmlWithFiles }, Buffer.alloc(4 * MIB)).subarray(0, -4)
    for (const client of clients) client.write(long)
    for (const client of clients) await client.next({ type: MESSAGE.reply })
    await waitFor('all to be read', () => clients.every(({ socket }) => socket.writableLength === 0))
    // 60 x 4 MiB if they were kept.
    expect(residentMiB(pid) - before).to.be.below(60)
  })

  it('shares a bounded memory with all others for what it may send', async () => {
    const stage = await start()
    const { pid } = stage.broker.program
    const clients = await peers(stage, 150)
    const before = residentMiB(pid)
    const half = frame({ proc: REMOTE.authSaslStart }, Buffer.alloc(500 * 1024)).subarray(0, -4)
    for (const client of clients) client.write(half)
    await waitFor('the log', () => /too much memory is held by clients that have opened nothing/.test(stage.broker.program.stderr))
    await waitFor('some to be closed', () => clients.filter(({ closed }) => closed).length > 50)
    expect(residentMiB(pid) - before).to.be.below(80)
    const late = await stage.connect()
    expect((await late.call(REMOTE.authList)).status, 'a newcomer').to.equal(STATUS.ok)
  })

  it('shares it where nobody has to log in, until it has opened something', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 1 })
    const { pid } = stage.broker.program
    const { client: opened } = await stage.open()
    const clients = await peers(stage, 200)
    const before = residentMiB(pid)
    const open = frame({ proc: REMOTE.connectOpen }, encodeOpen({ name: 'x'.repeat(500 * 1024), flags: 0 })).subarray(0, -4)
    for (const client of clients) client.write(open)
    await waitFor('some to be closed', () => clients.filter(({ closed }) => closed).length >= 100)
    expect(residentMiB(pid) - before).to.be.below(80)
    expect((await opened.call(REMOTE.connectGetUri)).status).to.equal(STATUS.ok)
  })

  it('writes a bounded number of lines into the log, and what was left out is told', async () => {
    const stage = await start()
    // Within the minute for which lines are counted.
    for (let i = 0; i < 15; i++) {
      await Promise.all((await peers(stage, 20)).map(client => {
        client.write(Buffer.alloc(28))
        return client.end()
      }))
    }
    await stage.broker.program.stop()
    const { stderr } = stage.broker.program
    expect(stderr.match(/frame length 0 is not legal/g)!.length).to.be.within(30, 32)
    expect(stderr).to.match(/27\d more lines of this kind were left out: client \d+ at 127\.0\.0\.1:\d+: closed: frame length 0/)
  })
})

describe('a client that the policy refuses a call', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('is told each time, and the log a few times', async () => {
    const stage = await Stage.start(cleanup, { procedure_policy: ['* => deny DOMAIN_*'], actor_threads: 1 })
    const { client } = await stage.open()
    client.write(Buffer.concat(Array.from({ length: 3000 }, (_, serial) => frame({ proc: REMOTE.domainGetInfo, serial }))))
    await waitFor('the answers', () => client.inbox.filter(({ status }) => status === STATUS.error).length === 3000)
    client.destroy()
    const { program } = stage.broker
    await waitFor('the log', () => /2990 more lines of this kind were left out: .*DOMAIN_GET_INFO refused/.test(program.stderr))
    // The first ten are the same, word for word.
    const repeated = [...program.stderr.matchAll(/: policy: DOMAIN_GET_INFO refused for .*\(said (?:once|(\d+) times) more\)/g)]
    expect(repeated.reduce((sum, [, times = '1']) => sum + Number(times), 1)).to.equal(10)
  })
})
