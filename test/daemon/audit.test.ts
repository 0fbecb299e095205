import { chmod, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { ADMIN, REMOTE } from '#protocol/procedures.js'
import { AdminConnection, clientName } from '../support/admin-connection.js'
import { connectAs, openToAll, USER } from '../support/as-user.js'
import { AuditLines, deed, guestArguments, type AuditRecord } from '../support/audit-lines.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { Ctl } from '../support/ctl.js'
import { DatagramReceiver } from '../support/datagram-receiver.js'
import type { RawClient } from '../support/raw-client.js'
import { SaslFiles } from '../support/sasl.js'
import { login } from '../support/sasl-login.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const { domainDestroy: DESTROY, domainGetInfo: INFO } = REMOTE
const ours = ({ api }: AuditRecord): boolean => api?.operation === 'DOMAIN_DESTROY'

describe('the audit', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  async function start(conf: Conf = {}): Promise<{ stage: Stage; lines: AuditLines; path: string }> {
    const path = join(await tempDir(cleanup), 'audit.json')
    const stage = await Stage.start(cleanup, { audit_output: `file:${path}`, log_level: 2, ...conf })
    return { stage, lines: new AuditLines(path), path }
  }

  const destroy = async (client: RawClient, name?: string): Promise<number> => (await client.call(DESTROY, guestArguments(name))).status

  it('tells of a client from its login to its end, in a file that only the owner reads', async () => {
    const { stage, lines, path } = await start()
    const { client } = await stage.open()
    await destroy(client, 'one')
    await client.call(INFO, guestArguments())
    await client.call(REMOTE.connectClose)
    const of = ({ api, status_detail }: AuditRecord): boolean => api?.service.name === 'qemu' || status_detail === 'closed by the client'
    const mine = await lines.until('the end', of, 3)
    expect(mine.map(deed)).to.deep.equal(['CONNECT_OPEN qemu:///system done', 'DOMAIN_DESTROY one done', 'end done'])
    const [first] = mine
    const whole = (await lines.all()).filter(({ metadata }) => metadata.correlation_uid === first!.metadata.correlation_uid)
    expect(whole.map(deed)).to.deep.equal(['login done', ...mine.map(deed)])
    for (const { src_endpoint } of whole) expect(src_endpoint.ip).to.equal('127.0.0.1')
    expect((await stat(path)).mode & 0o777).to.equal(0o600)
  })

  it('knows who comes over a UNIX socket, also if he is gone at once', async () => {
    const { stage, lines } = await start()
    for (let i = 0; i < 10; i++) {
      const client = await stage.connect(stage.broker.socket)
      await client.call(REMOTE.connectClose)
    }
    const ends = await lines.until('the ends', record => deed(record) === 'end done' && record.actor?.process?.pid === process.pid, 10)
    for (const { user } of ends) expect(user).to.deep.equal({ name: 'root', uid: '0' })
  })

  it('tells of logins that fail, with the reason, and of the one that succeeds', async () => {
    const sasl = await SaslFiles.create(cleanup, 'plain')
    await sasl.addUser('fred', 'secret')
    const { stage, lines } = await sasl.inUse(() => start({ auth_unix_rw: 'sasl' }))
    const client = await stage.connect(stage.broker.socket)
    await login(client, 'fred', 'wrong')
    await login(client, 'fred', 'secret')
    client.destroy()
    const gone = await stage.connect(stage.broker.socket)
    await login(gone, 'eve', 'wrong')
    gone.destroy()
    const refused = ({ status_id, status_detail }: AuditRecord): boolean => status_id === 2 && /^SASL: /.test(status_detail ?? '')
    const failed = await lines.until('the failures', refused, 2)
    const [done] = await lines.until('the login', record => deed(record) === 'login done' && record.user?.name === 'fred') as [AuditRecord]
    expect(done.auth_protocol).to.equal('SASL')
    expect(done.metadata.correlation_uid).to.equal(failed[0]!.metadata.correlation_uid)
    await lines.until('its end', record => deed(record) === 'end done' && record.user?.name === 'fred')
    const logins = (await lines.all()).filter(record => deed(record) === 'login done' && record.auth_protocol === 'SASL')
    expect(logins, 'of those who had to log in').to.have.length(1)
  })

  it('tells of calls that the policy refuses, and of connections that are turned away', async () => {
    const { stage, lines } = await start({ procedure_policy: ['listener=tcp => deny DOMAIN_DESTROY'], max_clients_per_user: 1 })
    const { client } = await stage.open()
    expect(await destroy(client, 'kept')).to.equal(STATUS.error)
    const [refused] = await lines.until('the refusal', ours)
    expect(deed(refused!)).to.equal('DOMAIN_DESTROY kept failed 88')
    expect(refused!.unmapped.refused).to.equal(true)
    await stage.connect(stage.broker.socket)
    const second = await stage.connect(stage.broker.socket)
    const [away] = await lines.until('the other', ({ status_detail }) => status_detail?.includes('has 1 connections') === true)
    expect(deed(away!)).to.equal('login failed')
    second.destroy()
  })

  it('goes on in a new file when the old one was renamed', async () => {
    const { stage, lines, path } = await start()
    const { client } = await stage.open()
    await destroy(client, 'before')
    await lines.until('the first', ours)
    await rename(path, `${path}.1`)
    stage.broker.program.child.kill('SIGUSR1')
    await waitFor('the word', () => stage.broker.program.stderr.includes('audit opened anew'))
    await destroy(client, 'after')
    expect((await lines.until('the next', ours)).map(deed)).to.deep.equal(['DOMAIN_DESTROY after done'])
    expect(await readFile(`${path}.1`, 'utf8')).to.contain('"before"').and.not.to.contain('"after"')
  })

  it('records calls that only read too, if that is wanted, for clients that come from then on', async () => {
    const { stage, lines } = await start()
    const old = await stage.open()
    await stage.broker.reload({ audit_reads: 1 })
    const { client } = await stage.open()
    await old.client.call(INFO, guestArguments('old'))
    await client.call(INFO, guestArguments('new'))
    const read = await lines.until('the read', ({ api }) => api?.operation === 'DOMAIN_GET_INFO')
    await destroy(old.client)
    await lines.until('what came later', ours)
    expect(read.map(deed)).to.deep.equal(['DOMAIN_GET_INFO new done'])
  })

  it('begins, goes elsewhere and ends by a reload, for clients that come from then on', async () => {
    const { stage, path } = await start({ audit_output: '' })
    const old = await stage.open()
    await stage.broker.reload({ audit_output: `file:${path}` })
    const { client } = await stage.open()
    for (const each of [old.client, client]) await destroy(each, each === client ? 'new' : 'old')
    const first = new AuditLines(path)
    expect((await first.until('the call', ours)).map(deed)).to.deep.equal(['DOMAIN_DESTROY new done'])
    await old.client.call(REMOTE.connectClose)
    await first.until('the end of one who was there before', record => deed(record) === 'end done')
    expect((await first.all()).filter(record => deed(record) === 'login failed')).to.deep.equal([])
    await stage.broker.reload({ audit_output: `file:${path}.2` })
    await destroy(client, 'elsewhere')
    await new AuditLines(`${path}.2`).until('the next', ours)
    await stage.broker.signalReload({ audit_output: 'file:/none/here' })
    const refused = 'audit_output: failed to open /none/here: No such file or directory'
    await waitFor('the refusal', () => stage.broker.program.stderr.includes(refused))
    await destroy(client, 'still there')
    await new AuditLines(`${path}.2`).until('the next', ours, 2)
    await stage.broker.reload({ audit_output: '' })
    for (let i = 0; i < 5000; i++) await destroy(client, 'silent')
    await stage.broker.reload({ audit_output: `file:${path}.3` })
    await destroy(client, 'heard again')
    const last = await new AuditLines(`${path}.3`).until('the next', ours)
    expect(last.map(deed)).to.deep.equal(['DOMAIN_DESTROY heard again done'])
    expect((await new AuditLines(`${path}.2`).all()).filter(ours).map(deed)).to.deep.equal(
      ['DOMAIN_DESTROY elsewhere done', 'DOMAIN_DESTROY still there done']
    )
  })

  it('tells of what administrators change, of what they may not, and of strangers at their door', async () => {
    const { stage, lines } = await start()
    const { client } = await stage.open()
    await destroy(client)
    const [{ metadata: { correlation_uid } }] = await lines.until('the client', ours) as [AuditRecord]
    const number = Number(correlation_uid.split('-')[1])
    const admin = await AdminConnection.to(cleanup, stage.broker)
    await admin.setLimits({ nclients_max: 77 })
    await admin.setFilters('1:x')
    expect((await admin.refusal(ADMIN.clientClose, clientName('virtproxyd', 9999).u32(0))).code).to.equal(96)
    await admin.disconnect(number)
    await admin.limits()
    const ctl = new Ctl(cleanup, stage.broker)
    for (const command of [['limits'], ['limits', '--max-clients', '66'], ['drain'], ['undrain'], ['reload']]) await ctl.ok(...command)
    const door = join(stage.broker.dir, 'libvirt-admin-sock')
    await openToAll(stage.broker.dir)
    await chmod(door, 0o777)
    await connectAs(cleanup, USER.nobody, door)
    const told = await lines.until('all of it', ({ api, unmapped }) => api?.service.name === 'admin' || unmapped.listener === 'admin', 9)
    expect(told.map(deed)).to.deep.equal([
      'ADMIN_SERVER_SET_CLIENT_LIMITS virtproxyd done', 'ADMIN_CONNECT_SET_LOGGING_FILTERS done',
      'ADMIN_CLIENT_CLOSE 9999 in virtproxyd failed 96',
      `ADMIN_CLIENT_CLOSE ${number} in virtproxyd done`, 'BROKER_LIMITS broker done', 'BROKER_DRAIN done', 'BROKER_RESUME done',
      'BROKER_RELOAD done', 'login failed'
    ])
    const requests = told.slice(0, 5).map(({ unmapped }) => unmapped.request)
    expect(requests).to.deep.equal(['nclients_max=77', '1:x', undefined, undefined, 'maxClients=66'])
    for (const { actor, metadata } of told.slice(0, -1)) {
      expect(actor!.user!.uid).to.equal('0')
      expect(metadata.correlation_uid).to.match(/-admin-\d+$/)
    }
    expect(told.at(-1)!.user!.uid).to.equal('65534')
  })

  it('has what is left written at the end of the broker', async () => {
    const { stage, lines } = await start({ actor_threads: 2 })
    const { client } = await stage.open()
    await destroy(client)
    await stage.broker.program.stop()
    const done = (await lines.all()).map(deed)
    expect(done).to.include.members(['DOMAIN_DESTROY guest done', 'end done'])
  })

  it('keeps the broker from a start where its file cannot be had', async () => {
    let failure: unknown
    await start({ audit_output: 'file:/none/here' }).catch((error: unknown) => (failure = error))
    expect(String(failure)).to.contain('audit_output: failed to open /none/here: No such file or directory')
  })

  it('refuses what changes something while it cannot be recorded, if that is wanted, and serves it again', async () => {
    const dir = await tempDir(cleanup)
    let receiver = new DatagramReceiver(join(dir, 'socket'))
    cleanup.defer(() => Promise.resolve(receiver.close()))
    const stage = await Stage.start(cleanup, { audit_output: `unix:${dir}/socket`, audit_fail_closed: 1, log_level: 2 })
    const { client } = await stage.open()
    expect(await destroy(client)).to.equal(STATUS.ok)
    receiver.close()
    const refused = await waitFor('a refusal', async () => {
      const reply = await client.call(DESTROY, guestArguments())
      return reply.status === STATUS.error && reply
    })
    expect(refused.payload.readInt32BE(0)).to.equal(38)
    expect(refused.payload.toString()).to.contain('records of the audit cannot be written, and audit_fail_closed is set')
    expect((await client.call(INFO, guestArguments())).status, 'what only reads').to.equal(STATUS.ok)
    receiver = new DatagramReceiver(join(dir, 'socket'))
    const records: AuditRecord[] = []
    const read = (): void => {
      for (let next; (next = receiver.receive()) !== undefined;) records.push(JSON.parse(next) as AuditRecord)
    }
    await waitFor('better times', async () => {
      read()
      return await destroy(client) === STATUS.ok
    })
    await waitFor('its record, and those of the refused', () => {
      read()
      const deeds = records.filter(ours).map(deed)
      return ['DOMAIN_DESTROY guest done', 'DOMAIN_DESTROY guest failed 38'].every(one => deeds.includes(one))
    })
    // And by a reload it goes on without.
    receiver.close()
    await waitFor('a refusal', async () => await destroy(client) === STATUS.error)
    await stage.broker.reload({ audit_fail_closed: 0 })
    expect(await destroy(client)).to.equal(STATUS.ok)
  })
})
