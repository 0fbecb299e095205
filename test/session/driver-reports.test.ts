import { expect } from 'chai'
import { REMOTE } from '#protocol/procedures.js'
import type { ConnectionReport } from '#workers/thread/driver-report.js'
import type { Candidate } from '#workers/driver/driver-sockets.js'
import { MemorySession, settle } from '../support/memory-session.js'
import { eachTrial, NAME, type TimedTrial, wayTo } from '../support/shared-trial.js'

const CALL = REMOTE.domainGetInfo
const HIGH = REMOTE.connectGetLibVersion

describe('what is told of connections to driver daemons', () => {
  let trial: TimedTrial
  eachTrial(made => (trial = made))

  const all = (): readonly ConnectionReport[] => trial.links.reports(0).connections

  it('is the key of a shared one, who shares it, and its calls', async () => {
    const first = await trial.open({ saslUserName: 'ann' })
    await trial.open({ saslUserName: 'ann' })
    await trial.open({ userId: 7, userName: 'bob', processId: 42, processTime: 1 }, wayTo(), true)
    await trial.open({ userId: 8, processId: -1 }, wayTo('lxc:///system', '/elsewhere'))
    await trial.open({ x509DistinguishedName: 'C=GB,CN=x' })
    await trial.open()
    first.call(CALL)
    first.call(CALL)
    await trial.time.until('a while', () => (all()[0]?.oldestMs ?? 0) > 0)
    const [ann, ...others] = all()
    const { oldestMs, ...rest } = ann!
    expect(oldestMs).to.be.greaterThan(0)
    expect(rest).to.deep.equal({
      connection: 1, kind: 'shared', socket: '/memory/virtqemud-sock', name: NAME, readonly: false, identity: 'ann', clients: 2, calls: 2,
      maxCalls: 2
    })
    const idle = { kind: 'shared', clients: 1, calls: 0, maxCalls: 2, oldestMs: undefined }
    const qemu = { socket: '/memory/virtqemud-sock', name: NAME, ...idle }
    expect(others).to.deep.equal([
      { connection: 2, ...qemu, readonly: true, identity: 'bob, pid 42' },
      { connection: 3, ...idle, socket: '/elsewhere', name: 'lxc:///system', readonly: false, identity: 'uid 8' },
      { connection: 4, ...qemu, readonly: false, identity: 'C=GB,CN=x' },
      { connection: 5, ...qemu, readonly: false, identity: undefined }
    ])
  })

  it('is what each is for', async () => {
    const [guest, other, third] = [await trial.open(), await trial.open(), await trial.open()]
    for (const one of [guest, other]) for (let count = 0; count < 2; count++) one.call(CALL)
    await trial.time.until('their calls', () => all().length === 2 && all().every(({ calls }) => calls === 2))
    third.call(HIGH)
    const priority = await trial.time.until('one for priority', () => all().find(({ kind }) => kind === 'priority'))
    expect(priority).to.include({ calls: 1, clients: 3 })
    expect(all().slice(0, 2).map(({ kind, calls }) => [kind, calls])).to.deep.equal([['shared', 2], ['shared', 2]])
  })

  it('is why a client has one alone, and that it is there no more', async () => {
    const guest = await trial.open({ saslUserName: 'ann' })
    guest.bound = true
    guest.call(REMOTE.domainOpenConsole)
    await trial.time.until('its own', () => all().length === 2)
    expect(all()[1]).to.include({ connection: 2, kind: 'own', why: 'stream', client: 1, clients: 1, calls: 1, identity: 'ann' })
    guest.port.close()
    expect(all().map(({ connection, clients }) => [connection, clients])).to.deep.equal([[1, 0]])
  })

  it('is why one has it to whom nothing was to be shared, or nothing that it has opened, or could have', async () => {
    const [qemu, vbox] = ['qemu:///system', 'vbox:///system'].map(name => wayTo(name).candidates[0]!) as [Candidate, Candidate]
    for (const [candidates, why] of [[[qemu], 'off'], [[vbox], 'name'], [[qemu, vbox], 'name']] as const) {
      const memory = new MemorySession(trial.time.asClock, 'own')
      memory.drivers.way = { candidates, sought: undefined, starts: [] }
      memory.connectOpen()
      memory.drivers.last.succeed(candidates[0])
      await settle()
      expect(memory.port.user.use()).to.include({ kind: 'own', why, candidate: candidates[0] })
    }
  })

  it('comes in pages, in the order in which they were made', async () => {
    trial.settings.driverSharing = 'off'
    const users = await trial.guests(300)
    users[100]!.port.close()
    const seen: number[] = []
    for (let more = true; more;) {
      const page = trial.links.reports(seen.at(-1) ?? 0)
      expect(page.connections.length).to.be.within(1, 128)
      seen.push(...page.connections.map(({ connection }) => connection))
      more = page.more
    }
    expect(seen).to.deep.equal(Array.from({ length: 300 }, (_, at) => at + 1).filter(number => number !== 101))
    expect(trial.links.reports(300)).to.deep.equal({ connections: [], more: false })
    for (const { port } of users) port.close()
  })

  it('has names that fit into a line', async () => {
    await trial.open({ saslUserName: `\x1b[2J${'x'.repeat(100_000)}` })
    const [{ identity } = { identity: undefined }] = all()
    expect(identity).to.match(/^\?\[2Jx+…$/).and.have.length.at.most(257)
  })
})
