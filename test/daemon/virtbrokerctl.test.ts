import { chmodSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { BROKER, BROKER_PROGRAM, encodeJson } from '#protocol/messages/broker-admin.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { AdminConnection } from '../support/admin-connection.js'
import { connectAs, openToAll, USER } from '../support/as-user.js'
import { Cleanup } from '../support/cleanup.js'
import { Ctl } from '../support/ctl.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

describe('virtbrokerctl', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let ctl: Ctl
  beforeEach(async () => {
    stage = await Stage.start(cleanup, { log_level: 2 })
    ctl = new Ctl(cleanup, stage.broker)
  })
  afterEach(() => cleanup.run())

  it('says how the broker is', async () => {
    await ctl.untilEmpty()
    await stage.open()
    const status = await ctl.json<Record<string, unknown>>('status')
    expect(status).to.deep.include({ pid: stage.broker.program.pid, state: 'serving', clients: 1, adminClients: 1 })
    expect(await ctl.ok('status')).to.match(/^state +serving$/m)
  })

  it('lists clients, sorted and by what they have in common', async () => {
    await ctl.untilEmpty()
    const tcp = await stage.connect()
    await tcp.call(REMOTE.authList)
    await stage.open(stage.broker.socket)
    interface Shown { id: number; listener: string; user?: string; peer?: string; state: string }
    await waitFor('its name', async () => (await ctl.json<Shown[]>('clients')).some(({ user }) => user === 'root'))
    const [first, second] = await ctl.json<Shown[]>('clients', '--sort', 'listener')
    expect(first).to.deep.include({ listener: 'main', user: 'root', state: 'serving' })
    expect(second).to.deep.include({ listener: 'tcp', peer: `127.0.0.1:${tcp.socket.localPort}` })
    expect(await ctl.json<Shown[]>('clients', '--user', 'root')).to.deep.equal([first])
    expect(await ctl.ok('clients', '--state', 'closing')).to.match(/^ID +SINCE +LISTENER +FROM +USER +STATE +THREAD +DRIVER\n$/)
  })

  it('closes a client, and tells of those that have gone', async () => {
    await ctl.untilEmpty()
    const { client } = await stage.open()
    const [{ id }] = await ctl.json<[{ id: number }]>('clients')
    await ctl.ok('disconnect', String(id))
    await client.end()
    const closed = await ctl.json<Record<string, unknown>[]>('clients', '--closed', '--driver', 'qemu:///system')
    expect(closed).to.have.length(1)
    expect(closed[0]).to.include({ id, listener: 'tcp', state: 'serving', reason: 'disconnected by the administrator' })
    expect(closed[0]!.closed).to.be.at.least(closed[0]!.since as number)
    const shown = await ctl.ok('clients', '--closed', '--sort', 'closed', '--reverse')
    expect(shown).to.match(/^ID .*REASON\n\d+ .*disconnected by the administrator\n/)
    const { status, stderr } = await ctl.run('disconnect', '99999')
    expect([status, stderr]).to.deep.equal([1, "virtbrokerctl: Client not found: No client with matching ID '99999'\n"])
  })

  it('lists what clients have opened', async () => {
    const stage = await Stage.start(cleanup, { log_level: 2, driver_sharing: 'off' })
    const ctl = new Ctl(cleanup, stage.broker)
    await ctl.untilEmpty()
    await stage.open()
    await stage.open()
    await stage.connect()
    const drivers = [{ driver: 'qemu:///system', clients: 2 }]
    await waitFor('both', async () => (await ctl.json<{ drivers: unknown[] }>('drivers')).drivers.length > 0)
    const { connections, ...rest } = await ctl.json<{ connections: Record<string, unknown>[] }>('drivers')
    expect(rest).to.deep.equal({ drivers, others: { drivers: 0, clients: 0 }, silent: [] })
    expect(connections).to.have.length(2)
    const key = { socket: stage.driver.path, name: 'qemu:///system', readonly: false }
    for (const one of connections) expect(one).to.include({ ...key, kind: 'own', why: 'off', clients: 1, calls: 0, maxCalls: 4 })
    const shown = await ctl.ok('drivers')
    expect(shown).to.match(/^DRIVER +CLIENTS\nqemu:\/\/\/system +2\n\nTHREAD .* WHY\n/)
    expect(shown.match(/^\d+ +\d+ +own +\S+virtqemud-sock +qemu:\/\/\/system +rw +- +1 +0\/4 +- +client \d+: off$/gm)).to.have.length(2)
    expect(await ctl.json<Record<string, unknown>[]>('clients', '--sort', 'driver')).to.have.nested.property('[2].driver', 'qemu:///system')
  })

  it('changes limits', async () => {
    expect(await ctl.json('limits', '--max-clients', '77')).to.include({ maxClients: 77, maxAnonymousClients: 20, unauthenticated: 0 })
    expect(await ctl.json('limits', '--admin', '--max-unauth-clients', '2')).to.include({ maxAnonymousClients: 2, clients: 1 })
    const { status, stderr } = await ctl.run('limits', '--max-clients', '3')
    expect(status).to.equal(1)
    expect(stderr).to.contain('must not be less than')
    expect(await ctl.ok('limits')).to.match(/^clients +77 +\d+$/m)
  })

  it('has the broker take no more clients, and take them again', async () => {
    const { client } = await stage.open()
    await ctl.ok('drain')
    await client.end()
    expect(await ctl.json<Record<string, unknown>>('status')).to.include({ state: 'draining' })
    const waiting = await stage.connect()
    const serial = waiting.post(REMOTE.authList)
    expect((await ctl.run('reload')).stderr).to.contain('the broker is draining')
    await ctl.ok('undrain')
    expect((await waiting.next({ serial })).status).to.equal(STATUS.ok)
    const { status, stderr } = await ctl.run('undrain')
    expect([status, stderr]).to.deep.equal([1, 'virtbrokerctl: Requested operation is not valid: the broker is serving\n'])
  })

  it('loads the configuration anew, and tells why it cannot be used', async () => {
    expect(await ctl.ok('reload')).to.equal('loaded\n')
    await writeFile(join(stage.broker.dir, 'broker.conf'), 'max_clients = = 3\n')
    const { status, stderr } = await ctl.run('reload')
    expect(status).to.equal(1)
    expect(stderr).to.contain('syntax error')
    expect((await ctl.json<{ refused: string }>('status')).refused).to.contain('syntax error')
  })

  it('changes what is logged, all or nothing', async () => {
    const before = await ctl.json<Record<string, string>>('log')
    expect(before).to.deep.equal({ level: 'info', filters: '', outputs: '2:stderr' })
    const file = join(stage.broker.dir, 'other.log')
    const change = ['--level', 'debug', '--filters', '4:rpc 1:util', '--outputs', `1:file:${file}`]
    const after = { level: 'debug', filters: '4:*rpc* 1:*util*', outputs: `1:file:${file}` }
    expect(await ctl.json('log', ...change)).to.deep.equal(after)
    const { status, stderr } = await ctl.run('log', '--level', 'error', '--outputs', '1:nowhere')
    expect(status).to.equal(1)
    expect(stderr).to.match(/Invalid log destination|destination 'nowhere'|nowhere/)
    expect(await ctl.json('log')).to.deep.equal(after)
    expect(await readFile(file, 'utf8')).to.contain('by the administrator: log level, filters, outputs changed')
    expect(await ctl.json('log', '--filters', '')).to.include({ filters: '' })
  })

  it('shows lines of the log as they come', async () => {
    const following = ctl.start('log', '--follow')
    const inJson = ctl.start('log', '--follow', '--json')
    await waitFor('it to follow', async () => {
      await ctl.ok('log', '--filters', '1:nothing')
      return [following, inJson].every(({ stdout }) => stdout.includes('log filters changed'))
    })
    await ctl.untilEmpty()
    await (await stage.connect()).call(REMOTE.authList)
    const [{ id }] = await ctl.json<[{ id: number }]>('clients')
    await ctl.ok('disconnect', String(id))
    await waitFor('a word of it', () => [following, inJson].every(({ stdout }) => stdout.includes('disconnected by the administrator')))
    await stage.broker.program.stop()
    for (const program of [following, inJson]) {
      expect(await program.exited).to.deep.equal({ status: 3, signal: null })
      expect(program.stdout).not.to.match(/[^\P{Cc}\n]/u)
    }
    for (const line of inJson.stdout.trim().split('\n')) expect(JSON.parse(line)).to.have.property('message')
  })

  it('ends with what is the matter', async () => {
    expect((await ctl.run('--socket', '/nonexistent/sock', 'status')).status).to.equal(3)
    expect((await ctl.run('nothing')).status).to.equal(2)
    expect((await ctl.run('disconnect', 'one')).status).to.equal(2)
    expect((await ctl.run('--help')).status).to.equal(0)
  })

  it('gets an answer to what is no JSON, and to JSON that makes no sense, and strangers get none to anything', async () => {
    const admin = await AdminConnection.to(cleanup, stage.broker)
    const refused = async (proc: number, body: Buffer): Promise<void> => {
      const { status } = await admin.client.call(proc, body, { prog: BROKER_PROGRAM })
      expect(status, `${proc} ${body.toString('latin1')}`).to.equal(STATUS.error)
    }
    for (const proc of Object.values(BROKER)) await refused(proc, new XdrWriter().string('{').finish())
    for (const proc of [0, 99]) await refused(proc, encodeJson({}))
    for (const value of ['1', -1, 0.5, 2 ** 60, null, true, [1], { a: 1 }]) {
      await refused(BROKER.disconnect, encodeJson({ id: value }))
      await refused(BROKER.trace, encodeJson({ id: value }))
      if (value !== null) await refused(BROKER.limits, encodeJson({ maxClients: value }))
      if (value !== -1) for (const proc of [BROKER.clients, BROKER.closed, BROKER.follow]) await refused(proc, encodeJson({ after: value }))
      await refused(BROKER.log, encodeJson({ level: value }))
    }
    for (const body of [new XdrWriter().string('{').finish(), Buffer.alloc(2), encodeJson([1]), encodeJson('x'), encodeJson({ id: 'x' })]) {
      const { status } = await admin.client.call(BROKER.disconnect, body, { prog: BROKER_PROGRAM })
      expect(status).to.equal(STATUS.error)
    }
    await openToAll(stage.broker.dir)
    const path = join(stage.broker.dir, 'libvirt-admin-sock')
    chmodSync(path, 0o777)
    const stranger = await connectAs(cleanup, USER.nobody, path)
    for (const proc of Object.values(BROKER)) stranger.post(proc, encodeJson({}), { prog: BROKER_PROGRAM })
    await stranger.end()
    expect(stranger.received).to.equal(0)
    expect((await ctl.json<Record<string, unknown>>('status')).state).to.equal('serving')
  })
})
