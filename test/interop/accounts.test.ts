import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { Accounts } from '../support/accounts.js'
import { connectAs, openToAll } from '../support/as-user.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { run } from '../support/processes.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const members = (bytes: number): string => Array.from({ length: bytes / 10 }, (_, i) => `m${String(i).padStart(8, '0')}`).join(',')

const PASSWD = ['alice:x:4301:4301::/:/bin/sh', 'crowded:x:4302:4302::/:/bin/sh']
const GROUP = ['alice:x:4301:', `crowd:x:4302:${members(200_000)}`]

const ASKER = new URL('../support/name-asker.js', import.meta.url).pathname

/** Processes that a process has started. */
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number)

describe('names of users and groups', function () {
  this.timeout(60_000)
  let cleanup: Cleanup
  let accounts: Accounts
  let stage: Stage

  beforeEach(async () => {
    cleanup = new Cleanup()
    accounts = await Accounts.start(cleanup, PASSWD, GROUP)
  })
  afterEach(() => cleanup.run())

  async function start(conf: Conf = {}): Promise<void> {
    stage = await Stage.start(cleanup, { unix_sock_rw_perms: '0777', max_anonymous_clients: 30, ...conf }, { within: accounts.within })
    await openToAll(stage.broker.dir)
  }

  const client = (id: number): Promise<RawClient> => connectAs(cleanup, id, stage.broker.socket, id)

  /** Names of user and group that the driver daemon hears of a client. */
  async function names(id: number): Promise<string[]> {
    const user = await client(id)
    const { status, payload } = await user.open('qemu:///system')
    if (status !== STATUS.ok) return [decodeError(payload).message]
    const { userName, groupName } = stage.driver.identities.findLast(({ userId }) => userId === id)!
    user.destroy()
    return [userName!, groupName!]
  }

  it('may come with any number of members, up to 1 MiB of them', async () => {
    await start()
    expect(await names(4301)).to.deep.equal(['alice', 'alice'])
    expect(await names(4302)).to.deep.equal(['crowded', 'crowd'])
    expect(await names(0)).to.deep.equal(['root', 'root'])
    const multitude = `multitude:x:4302:${members(1_200_000)}`
    accounts = await Accounts.start(cleanup, PASSWD, [GROUP[0]!, multitude])
    await start()
    expect(await names(4301)).to.deep.equal(['alice', 'alice'])
    expect(await names(4302)).to.deep.equal(["Failed to find group record for gid '4302'"])
  })

  it('come from whatever service the host has, and are asked for once', async () => {
    accounts.nameOf = id => Promise.resolve(id === 4400 ? 'remote' : undefined)
    await start({ actor_threads: 1 })
    for (let times = 1; times <= 3; times++) expect(await names(4400)).to.deep.equal(['remote', 'remote'])
    for (let times = 1; times <= 3; times++) expect(await names(4401)).to.deep.equal(["Failed to find user record for uid '4401'"])
    expect(accounts.asked.filter(id => id === 4400)).to.have.length(2)
    expect(accounts.asked.filter(id => id === 4401)).to.have.length(1)
  })

  it('that do not come in time are a matter of their client alone', async () => {
    accounts.nameOf = () => new Promise(() => undefined)
    await start({ log_level: 2 })
    const stranger = await client(4500)
    await waitFor('the question', () => accounts.asked.includes(4500))
    expect(await names(4301)).to.deep.equal(['alice', 'alice'])
    expect(await names(0)).to.deep.equal(['root', 'root'])
    await stage.broker.reload({ login_timeout: 1 })
    const late = await client(4501)
    await late.end()
    expect(stranger.closed).to.equal(false)
    const line = /client \d+: closed: names of user and group not found in time/
    await waitFor('the line in the log', () => line.test(stage.broker.program.stderr))
  })

  it('hold up no other user, however many strangers wait for theirs', async () => {
    accounts.nameOf = () => new Promise(() => undefined)
    await start()
    const strangers = await Promise.all(Array.from({ length: 20 }, (_, i) => client(4600 + i)))
    await waitFor('the questions', () => accounts.asked.length === 20)
    expect(await names(4301)).to.deep.equal(['alice', 'alice'])
    expect(await names(4302)).to.deep.equal(['crowded', 'crowd'])
    expect(strangers.filter(({ closed }) => closed)).to.be.empty
  })

  it('do not delay a stop', async () => {
    accounts.nameOf = () => new Promise(() => undefined)
    await start()
    const stranger = await client(4700)
    await waitFor('the question', () => accounts.asked.includes(4700))
    const children = childrenOf(stage.broker.program.pid)
    stage.broker.program.child.kill('SIGTERM')
    await stranger.end()
    const { status } = await stage.broker.program.exited
    expect(status).to.equal(0)
    await waitFor('the end of the process that looks up', () => children.every(pid => !alive(pid)))
  })

  it('are given up one by one where the service never answers, and others are looked up', async () => {
    accounts.nameOf = id => (id < 4950 ? new Promise(() => undefined) : Promise.resolve(`user${id}`))
    const hanging = Array.from({ length: 32 }, (_, i) => 4900 + i)
    const argv = [process.execPath, ASKER, '3000', ...hanging.map(String), '4950']
    const { stdout } = await run([...accounts.within, ...argv])
    for (const id of hanging) expect(stdout).to.contain(`${id}: nobody can say\n`)
    // It had to wait for a place, and then was not given up with those that had theirs.
    expect(stdout).to.contain('4950: user4950\n')
    expect(accounts.asked.filter(id => id === 4950)).to.have.length(1)
  })

  it('are looked up again when the process that does it dies', async () => {
    const answers: ((name: string) => void)[] = []
    accounts.nameOf = () => new Promise(resolve => answers.push(resolve))
    await start({ actor_threads: 1 })
    const waiting = names(4800)
    await waitFor('the question', () => answers.length === 1)
    for (const pid of childrenOf(stage.broker.program.pid)) process.kill(pid, 'SIGKILL')
    await waitFor('the question once more', () => answers.length === 2)
    accounts.nameOf = () => Promise.resolve('late')
    answers[1]!('late')
    expect(await waiting).to.deep.equal(['late', 'late'])
  })
})

/** A zombie is not. */
function alive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}
