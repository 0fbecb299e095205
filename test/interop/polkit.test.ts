import { join } from 'node:path'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { decodeSetIdentity } from '#protocol/identity.js'
import { decodeAuthList, decodePolkitReply } from '#protocol/messages/auth.js'
import { REMOTE } from '#protocol/procedures.js'
import { AdminConnection } from '../support/admin-connection.js'
import { connectAs, openToAll, USER } from '../support/as-user.js'
import { BusClient, flood } from '../support/bus-client.js'
import { BusRelay } from '../support/bus-relay.js'
import { Cleanup } from '../support/cleanup.js'
import type { Frame } from '../support/frame-socket.js'
import { freePort } from '../support/free-port.js'
import { Metrics } from '../support/metrics.js'
import { PolkitBus } from '../support/polkit-bus.js'
import { run } from '../support/processes.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const rules = `polkit.addRule(function(action, subject) {
  if (action.id === 'org.libvirt.unix.manage') {
    if (subject.user === 'daemon') return polkit.Result.YES
    if (subject.user === 'bin') return polkit.Result.NO
  }
})`

describe('polkit', () => {
  const cleanup = new Cleanup()
  let bus: PolkitBus
  let stage: Stage
  let metricsPort: number

  before(async () => {
    bus = await PolkitBus.start(cleanup, rules)
    metricsPort = await freePort()
    stage = await Stage.start(cleanup, {
      metrics_listen: `127.0.0.1:${metricsPort}`,
      auth_unix_rw: 'polkit',
      auth_unix_ro: 'polkit',
      system_bus_address: bus.address
    })
    await stage.addDriver('virtqemud-sock-ro')
    await openToAll(stage.broker.dir)
  })

  after(() => cleanup.run())

  const client = (uid: number, path = stage.broker.socket): Promise<RawClient> => connectAs(cleanup, uid, path)
  const authList = async (from: RawClient): Promise<number[]> =>
    decodeAuthList((await from.call(REMOTE.authList)).payload)

  function expectError(reply: Frame, code: number, domain: number, message: string): void {
    expect(reply.status).to.equal(STATUS.error)
    const error = decodeError(reply.payload)
    expect([error.code, error.domain, error.message]).to.deep.equal([code, domain, message])
  }

  function virshAs(uid: number, flags: string[] = []) {
    const uri = `qemu+unix:///system?socket=${flags.length > 0 ? stage.broker.roSocket : stage.broker.socket}`
    const argv = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', 'virsh', ...flags, '-c', uri, 'uri']
    return run(argv, { env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', HOME: '/nonexistent' } })
  }

  it('lets a user in whom the rules allow to manage, and the driver daemon hears who it is', async () => {
    const user = await client(USER.daemon)
    expect(await authList(user)).to.deep.equal([2])
    const reply = await user.call(REMOTE.authPolkit)
    expect(reply.status).to.equal(STATUS.ok)
    expect(decodePolkitReply(reply.payload)).to.equal(true)
    expect(await authList(user)).to.deep.equal([0])
    const connected = stage.driver.nextConnection()
    expect((await user.open('qemu:///system')).status).to.equal(STATUS.ok)
    const call = (await connected).calls.find(({ proc }) => proc === REMOTE.connectSetIdentity)!
    const told = decodeSetIdentity(call.payload)
    expect(told).to.include({ userName: 'daemon', userId: 1 })
    if (stage.broker.conf['driver_sharing'] === 'user') expect(told).not.to.have.any.keys('processId', 'processTime')
    else {
      expect(told.processId).to.equal(process.pid)
      expect(told.processTime).to.be.greaterThan(0)
    }
  })

  it('refuses everything but authentication before, and a second login after', async () => {
    const user = await client(USER.daemon)
    expectError(await user.open('qemu:///system'), 39, 7, 'authentication required')
    expectError(await user.call(REMOTE.connectClose), 39, 7, 'authentication required')
    expectError(await user.call(REMOTE.authSaslInit), 45, 7, 'authentication failed: authentication failed')
    await user.call(REMOTE.authPolkit)
    expectError(await user.call(REMOTE.authPolkit), 45, 7, 'authentication failed: authentication failed')
  })

  it('is counted, with how long it took', async () => {
    const counts = async (): Promise<(number | undefined)[]> => {
      const metrics = await Metrics.of(metricsPort)
      return [
        metrics.value('auth_total', { method: 'polkit', outcome: 'ok' }),
        metrics.value('auth_total', { method: 'polkit', outcome: 'refused' }),
        metrics.value('refusals_total', { reason: 'auth' }), metrics.value('auth_duration_seconds_count', { method: 'polkit' })
      ]
    }
    const before = await counts()
    expect((await (await client(USER.daemon)).call(REMOTE.authPolkit)).status).to.equal(STATUS.ok)
    for (let i = 0; i < 2; i++) expect((await (await client(USER.bin)).call(REMOTE.authPolkit)).status).to.equal(STATUS.error)
    // The answer goes before it is counted.
    await waitFor('the counts', async () => (await counts()).map((count, at) => count! - before[at]!).join() === '1,2,2,1')
    expect((await Metrics.of(metricsPort)).value('auth_duration_seconds_sum', { method: 'polkit' })).to.be.within(0.0001, 60)
  })

  it('keeps a user out whom the rules deny', async () => {
    const user = await client(USER.bin)
    expectError(await user.call(REMOTE.authPolkit), 45, 60, 'authentication failed: access denied by policy')
    expect(await authList(user)).to.deep.equal([2])
  })

  it('says that an agent is needed, in the words that make virsh start one', async () => {
    const user = await client(USER.nobody)
    expectError(await user.call(REMOTE.authPolkit), 94, 60,
      "authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'")
  })

  it('asks for less on the read-only socket', async () => {
    const user = await client(USER.nobody, stage.broker.roSocket)
    expect((await user.call(REMOTE.authPolkit)).status).to.equal(STATUS.ok)
  })

  it('does not ask for root, who only has to look at the list', async () => {
    const root = await stage.connect(stage.broker.socket)
    expectError(await root.open('qemu:///system'), 39, 7, 'authentication required')
    expect(await authList(root)).to.deep.equal([0])
    expect((await root.open('qemu:///system')).status).to.equal(STATUS.ok)
    const other = await stage.connect(stage.broker.socket)
    expect((await other.call(REMOTE.authPolkit)).status).to.equal(STATUS.ok)
  })

  it('gives virsh what it needs: a way in, a plain no, or the cry for an agent', async () => {
    const [allowed, readOnly, denied, unknown] = await Promise.all([
      virshAs(USER.daemon), virshAs(USER.nobody, ['-r']), virshAs(USER.bin), virshAs(USER.nobody)
    ])
    expect(allowed.stdout, allowed.stderr).to.contain('qemu+unix:///system')
    expect(readOnly.stdout, readOnly.stderr).to.contain('qemu+unix:///system')
    expect(denied.stderr).to.contain('authentication failed: access denied by policy')
    expect(unknown.stderr).to.contain("no polkit agent available to authenticate action 'org.libvirt.unix.manage'")
  })

  it('closes a client that tries again and again', async () => {
    const user = await client(USER.bin)
    for (let i = 0; i < 10; i++) await user.call(REMOTE.authPolkit)
    await user.end()
  })

  it('answers many at once', async () => {
    const users = await Promise.all(Array.from({ length: 19 }, () => client(USER.daemon)))
    const replies = await Promise.all(users.map(user => user.call(REMOTE.authPolkit)))
    expect(replies.map(({ status }) => status)).to.deep.equal(replies.map(() => STATUS.ok))
    for (const user of users) user.destroy()
  })

  it('holds up nobody while polkit does not answer', async () => {
    bus.polkitd.child.kill('SIGSTOP')
    try {
      const user = await client(USER.daemon)
      const serial = user.post(REMOTE.authPolkit)
      const root = await stage.connect(stage.broker.socket)
      expect(await authList(root)).to.deep.equal([0])
      // Its own other calls are answered too.
      expect(await authList(user)).to.deep.equal([2])
      expectError(await user.call(REMOTE.authPolkit), 45, 7, 'authentication failed: authentication failed')
      bus.polkitd.child.kill('SIGCONT')
      expect((await user.next({ serial })).status).to.equal(STATUS.ok)
    } finally {
      bus.polkitd.child.kill('SIGCONT')
    }
  })

  it('is not confused by a client that leaves while polkit is asked', async () => {
    bus.polkitd.child.kill('SIGSTOP')
    const user = await client(USER.daemon)
    user.post(REMOTE.authPolkit)
    await user.untilRead()
    const admin = await AdminConnection.to(cleanup, stage.broker)
    const { id: its } = (await admin.clients()).at(-1)!
    user.destroy()
    await waitFor('it to be missed', async () => (await admin.clients()).every(({ id }) => id !== its))
    bus.polkitd.child.kill('SIGCONT')
    const next = await client(USER.daemon)
    expect((await next.call(REMOTE.authPolkit)).status).to.equal(STATUS.ok)
  })

  describe('while somebody floods the bus', () => {
    for (const [what, type, length] of [
      ['long signals', 'signal', 1_100_000], ['short signals', 'signal', 1], ['calls', 'call', 1000]
    ] as const) {
      it(`with ${what}, lets users in, and forgets no question that is open`, async () => {
        const users = await Promise.all(Array.from({ length: 4 }, () => client(USER.daemon)))
        // Every thread has its connection to the bus.
        for (const user of users) expect((await user.call(REMOTE.authPolkit)).status).to.equal(STATUS.ok)
        const early = await client(USER.daemon)
        const stranger = await BusClient.connect(cleanup, join(bus.dir, 'bus'))
        const names = await stranger.connectionsOf(stage.broker.program.pid)
        expect(names).not.to.be.empty
        bus.polkitd.child.kill('SIGSTOP')
        const open = early.post(REMOTE.authPolkit)
        const noise = flood(stranger, names, type, length)
        try {
          await waitFor('some noise', () => noise.count * length > 20_000_000 || noise.count > 20_000)
          expect(await authList(await stage.connect(stage.broker.socket))).to.deep.equal([0])
          bus.polkitd.child.kill('SIGCONT')
          expect((await early.next({ serial: open })).status).to.equal(STATUS.ok)
          for (let i = 0; i < 8; i++) {
            const user = await client(USER.daemon)
            expect((await user.call(REMOTE.authPolkit)).status).to.equal(STATUS.ok)
            user.destroy()
          }
          expect(await stranger.connectionsOf(stage.broker.program.pid)).to.have.members(names)
        } finally {
          bus.polkitd.child.kill('SIGCONT')
          noise.stop()
          stranger.socket.destroy()
          for (const user of [...users, early]) user.destroy()
        }
      })
    }
  })

  it('is asked again when the bus hangs up before the answer', async () => {
    const relay = await BusRelay.listen(cleanup, join(bus.dir, 'relay'), join(bus.dir, 'bus'))
    const own = await Stage.start(cleanup, { auth_unix_rw: 'polkit', system_bus_address: `unix:path=${relay.path}` })
    await openToAll(own.broker.dir)
    const user = await connectAs(cleanup, USER.daemon, own.broker.socket)
    bus.polkitd.child.kill('SIGSTOP')
    try {
      const serial = user.post(REMOTE.authPolkit)
      for (let times = 1; times <= 2; times++) {
        await waitFor('the question', () => relay.asked === times)
        relay.hangUp()
      }
      bus.polkitd.child.kill('SIGCONT')
      expect((await user.next({ serial })).status).to.equal(STATUS.ok)
    } finally {
      bus.polkitd.child.kill('SIGCONT')
    }
  })

  it('says so when there is no polkit, and no bus, and goes on when both are back', async () => {
    const user = await client(USER.daemon)
    await bus.stopPolkitd()
    expectError(await user.call(REMOTE.authPolkit), 89, 47,
      'error from service: GDBus.Error:org.freedesktop.DBus.Error.ServiceUnknown: ' +
      'The name org.freedesktop.PolicyKit1 was not provided by any .service files')
    await bus.stop()
    const noBus = 'internal error: Unable to get system bus connection: Could not connect: '
    expectError(await user.call(REMOTE.authPolkit), 1, 47, `${noBus}Connection refused`)
    await bus.startBus()
    await bus.startPolkitd()
    expect((await user.call(REMOTE.authPolkit)).status).to.equal(STATUS.ok)
  })
})
