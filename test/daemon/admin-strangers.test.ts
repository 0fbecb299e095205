import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { BROKER, BROKER_PROGRAM } from '#protocol/messages/broker-admin.js'
import { ADMIN, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { connectUnix } from '#workers/driver/unix-connect.js'
import { FdLedger } from '#workers/os/fd-ledger.js'
import { close } from '#workers/os/libc.js'
import { sendDescriptor } from '#workers/transport/descriptors.js'
import { FLAGGED, serverName } from '../support/admin-calls.js'
import { AdminConnection, uints } from '../support/admin-connection.js'
import { connectAs, openToAll, USER } from '../support/as-user.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { PassedSockets } from '../support/passed-sockets.js'
import { hold, openDescriptors } from '../support/process-state.js'
import { RawClient } from '../support/raw-client.js'
import { SilentCrowd } from '../support/silent-crowd.js'
import { lingeringSocket } from '../support/slow-descriptors.js'
import { waitFor } from '../support/waiting.js'

/** More than may wait to be closed. */
const TOO_MANY = 200

/** Each as an administrator would make it. */
const COMMANDS: readonly (readonly [prog: number, proc: number, args: XdrWriter])[] = [
  ...[ADMIN.connectClose, ADMIN.connectGetLibVersion].map(proc => [PROGRAM.admin, proc, new XdrWriter()] as const),
  [PROGRAM.admin, ADMIN.connectLookupServer, serverName('virtproxyd').u32(0)],
  ...FLAGGED.map(([proc, , args]) => [PROGRAM.admin, proc, args(0, 'virtproxyd', 1)] as const),
  [PROGRAM.admin, ADMIN.serverSetClientLimits, uints('virtproxyd', { nclients_max: 30 })],
  ...Object.values(BROKER).map(proc => [BROKER_PROGRAM, proc, new XdrWriter().string('{}')] as const)
]

describe('strangers at the admin socket', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  async function getNothing(path: string): Promise<void> {
    const admin = await AdminConnection.to(cleanup, path)
    await waitFor('nobody', async () => (await admin.limits()).nclients === 0)
    const before = await admin.limits()
    const tried = COMMANDS.filter(([prog]) => prog === PROGRAM.admin).map(([, proc]) => proc)
    expect(tried).to.include.members(Object.values(ADMIN))
    for (const [prog, proc, args] of COMMANDS) {
      const stranger = await connectAs(cleanup, USER.nobody, path)
      stranger.post(proc, args.finish(), { prog })
      await stranger.end()
      expect(stranger.received, `procedure ${proc} of ${prog}`).to.equal(0)
    }
    expect(await admin.limits()).to.deep.equal(before)
    expect(await admin.clients('admin')).to.have.length(1)
    admin.client.destroy()
  }

  /** Whose admin socket lets everybody that far. */
  async function start(conf = {}): Promise<{ broker: Broker; path: string }> {
    const broker = await Broker.start(cleanup, { embedded_test_driver: 1, log_outputs: '3:stderr', ...conf })
    await openToAll(broker.dir)
    const path = join(broker.dir, 'libvirt-admin-sock')
    const admin = await AdminConnection.to(cleanup, path)
    admin.client.destroy()
    chmodSync(path, 0o777)
    return { broker, path }
  }

  /** A backlog may be full for a moment: libvirt's clients wait for a place in it. */
  async function enter(path: string): Promise<AdminConnection> {
    let admin: AdminConnection | undefined
    await waitFor('a place in the backlog', async () => {
      admin = await AdminConnection.to(cleanup, path).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EAGAIN') throw error
        return undefined
      })
      return admin
    })
    return admin!
  }

  it('get nothing, whatever they ask for', async () => {
    const { broker, path } = await start()
    await getNothing(path)
    await broker.program.hasSaid(`operation forbidden: Disallowing client ${process.pid} with uid ${USER.nobody}`)
    expect(broker.program.ended).to.equal(false)
  })

  it('get nothing from one of systemd\'s either', async () => {
    const sockets = await PassedSockets.in(cleanup)
    const path = sockets.unix('virtbrokerd-admin.socket', 'admin', 0o777)
    for (const dir of [sockets.dir, join(sockets.dir, 'sockets')]) await openToAll(dir)
    const program = await sockets.start({ auth_unix_rw: 'none', auth_unix_ro: 'none' })
    await getNothing(path)
    expect(program.ended).to.equal(false)
  })

  it('keep no administrator out while they come by the hundred', async () => {
    const { path } = await start()
    const crowd = new SilentCrowd(cleanup)
    let coming = true
    const strangers = (async () => {
      for (let i = 0; i < 10 || coming; i++) await crowd.joinAs(USER.nobody, 100, path)
    })()
    try {
      for (let i = 0; i < 20; i++) {
        const admin = await enter(path)
        expect(await admin.clients('admin')).not.to.deep.equal([])
        admin.client.destroy()
        await sleep(5)
      }
    } finally {
      coming = false
      await strangers
    }
  })

  it('whose connections take long to be closed keep an administrator out no longer than that takes', async () => {
    const { broker, path } = await start({ admin_max_queued_clients: 400 })
    const { pid } = broker.program
    const client = await RawClient.connect(cleanup, broker.tcpPort)
    expect((await client.open('test:///default')).status).to.equal(STATUS.ok)
    const before = openDescriptors(pid)
    // They all have something in their sockets that lingers when it is closed, before the broker sees the first.
    hold(pid)
    process.seteuid!(USER.nobody)
    const strangers = Array.from({ length: TOO_MANY }, () => connectUnix([{ path, named: true }], new FdLedger(), 1, 1000, { up: false }))
    process.seteuid!(0)
    const fds: number[] = []
    for (const stranger of strangers) fds.push((await stranger).outcome)
    expect(Math.min(...fds)).to.be.greaterThan(0)
    for (const fd of fds) {
      const lingering = lingeringSocket(cleanup)
      expect(sendDescriptor(fd, lingering)).to.equal(1)
      close(lingering)
    }
    process.kill(pid, 'SIGCONT')
    const admin = await AdminConnection.to(cleanup, path)
    await admin.ask(ADMIN.connectGetLibVersion)
    await broker.program.hasSaid('refused connections wait to be closed: no more taken for now')
    expect((await client.call(REMOTE.connectGetLibVersion)).status).to.equal(STATUS.ok)
    admin.client.destroy()
    await waitFor('the strangers to be gone', () => openDescriptors(pid) <= before)
    for (const fd of fds) close(fd)
  })
})
