import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { mustRun } from '../support/processes.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

describe('admission', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const isServed = async (client: RawClient): Promise<boolean> => {
    const served = await client.call(REMOTE.authList).then(({ status }) => status === STATUS.ok, () => false)
    return served && !client.closed
  }

  it('refuses one client too many from an address, and says so', async () => {
    const stage = await Stage.start(cleanup, { max_clients_per_address: 3, log_level: 1 })
    await stage.probesForgotten()
    const clients: RawClient[] = []
    for (let i = 0; i < 3; i++) clients.push(await stage.connect())
    for (const client of clients) expect(await isServed(client)).to.equal(true)
    await (await stage.connect()).end()
    expect(await isServed(await stage.connect(stage.broker.socket)), 'over UNIX').to.equal(true)
    await waitFor('the log', () => /refused, address 127\.0\.0\.1 has 3 connections/.test(stage.broker.program.stderr))
    clients[0]!.destroy()
    await waitFor('room for another', async () => isServed(await stage.connect()))
  })

  it('refuses one client too many of a user, and says so', async () => {
    const stage = await Stage.start(cleanup, { max_clients_per_user: 2, log_level: 1 })
    await stage.probesForgotten()
    const clients = [await stage.connect(stage.broker.socket), await stage.connect(stage.broker.roSocket)]
    for (const client of clients) expect(await isServed(client)).to.equal(true)
    await (await stage.connect(stage.broker.socket)).end()
    expect(await isServed(await stage.connect()), 'over TCP').to.equal(true)
    await waitFor('the log', () => /refused, user \d+ has 2 connections/.test(stage.broker.program.stderr))
  })

  it('lets connections beyond max_clients wait, and serves them when there is room', async () => {
    const stage = await Stage.start(cleanup, { max_clients: 2, max_anonymous_clients: 2 })
    const clients = [await stage.connect(), await stage.connect(stage.broker.socket)]
    for (const client of clients) expect(await isServed(client)).to.equal(true)
    const late = await stage.connect()
    late.post(REMOTE.authList, undefined, { serial: 9 })
    await sleep(300)
    expect(late.inbox).to.be.empty
    expect(late.closed).to.equal(false)
    clients[0]!.destroy()
    await late.next({ serial: 9 })
  })

  it('is not blocked for ever by silent connections that never log in', async () => {
    const conf = { auth_unix_rw: 'polkit', login_timeout: 1, max_anonymous_clients: 3 }
    const stage = await Stage.start(cleanup, { ...conf, log_level: 1 })
    await stage.probesForgotten()
    const silent: RawClient[] = []
    for (let i = 0; i < 6; i++) silent.push(await stage.connect(stage.broker.socket))
    const client = await stage.connect()
    client.post(REMOTE.authList, undefined, { serial: 9 })
    await client.next({ serial: 9 })
    // Those that wait get the places of those that are closed, and are closed themselves.
    for (const one of silent) await one.end()
    await stage.broker.program.hasSaid(/closed: not authenticated in time/)
  })

  it('keeps descriptors in reserve: clients that are in can open their drivers, others are refused', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 1 }, { limits: ['--nofile=120:120'] })
    const clients: RawClient[] = []
    for (let i = 0; i < 150; i++) clients.push(await stage.connect())
    await waitFor('the log', () => /refused, the process is running out of file descriptors/.test(stage.broker.program.stderr))
    const answers = await Promise.all(clients.map(isServed))
    const served = clients.filter((_, index) => answers[index])
    expect(served.length).to.be.within(5, 60)
    for (const client of served) expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    for (const client of clients) client.destroy()
    await waitFor('room', async () => isServed(await stage.connect()))
  })

  for (const [limit, least] of [[128, 30], [100, 18], [64, 2]] as const) {
    it(`serves as many as ${limit} descriptors allow, says at the start how many that are, and root more`, async () => {
      const stage = await Stage.start(cleanup, { actor_threads: 2 }, { limits: [`--nofile=${limit}:${limit}`] })
      const log = (): string => stage.broker.program.stderr
      const [, allowed] = await waitFor('a warning', () => /limit of \d+ open files allows (\d+) clients, not 5000/.exec(log()) ?? false)
      const clients: RawClient[] = []
      for (let i = 0; i < limit; i++) {
        const client = await stage.connect()
        clients.push(client)
        const opened = await client.open('qemu:///system').then(({ status }) => status === STATUS.ok, () => false)
        if (!opened) break
      }
      expect(clients.pop()!.closed, 'the one too many').to.equal(true)
      expect(clients.length).to.be.at.least(least).and.at.most(Number(allowed))
      const refusal = /refused, the process is running out of file descriptors/
      await waitFor('a line in the log', () => refusal.test(log())).catch(() => expect.fail(log()))
      expect((await (await stage.connect(stage.broker.socket)).open('qemu:///system')).status, 'root').to.equal(STATUS.ok)
      for (const client of clients) expect((await client.call(REMOTE.domainGetInfo)).status).to.equal(STATUS.ok)
    })
  }

  it('survives that there is not one descriptor left', async () => {
    const stage = await Stage.start(cleanup)
    const { client } = await stage.open()
    const { pid } = stage.broker.program
    await mustRun(['prlimit', '--pid', String(pid), `--nofile=5:`])
    const began = performance.now()
    const late = await stage.connect()
    late.post(REMOTE.authList, undefined, { serial: 9 })
    await waitFor('the log', () => /accept: Too many open files/.test(stage.broker.program.stderr))
    expect((await client.call(REMOTE.domainGetInfo)).status, 'a call meanwhile').to.equal(STATUS.ok)
    await sleep(1500)
    // Lines that say the same become one.
    const line = /accept: Too many open files; trying again in 5 s(?: \(said (?:once|(\d+) times) more\))?/g
    const said = Array.from(stage.broker.program.stderr.matchAll(line), ([, times = '1']) => Number(times))
    const tries = said.reduce((sum, times) => sum + times)
    expect(tries, 'tries to accept').to.be.at.most(2 + (performance.now() - began) / 5000)
    await mustRun(['prlimit', '--pid', String(pid), '--nofile=1000:'])
    await late.next({ serial: 9 }, 20_000)
  })
})
