import { join } from 'node:path'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { ADMIN } from '#protocol/procedures.js'
import { FLAGGED, flags, REFUSED, serverName } from '../support/admin-calls.js'
import { AdminConnection, clientName } from '../support/admin-connection.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { DebianRelease } from '../support/debian-release.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { waitFor } from '../support/waiting.js'

/** A daemon's admin socket, and its server that is not `admin`. */
interface Place {
  path: string
  server: string
}

/** What one release says the other way round than the other two, and than we. */
const OTHER_WAY_ROUND: ReadonlyMap<string, string> = new Map([
  ['9.0', 'a limit below that of logins'],
  ['12.8', 'a limit of another type']
])

/** That which virt-admin cannot send, to real daemons of three releases, and to the broker in the same situation. */
describe('raw frames of the admin program', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  const real = new Map<string, Place>()
  let ours: Place

  before(async () => {
    const host = await PrivateHost.start(cleanup, { ownPids: false })
    const commands: [version: string, command: string[]][] = [
      ['9.0', ['libvirtd']],
      ['11.3', (await DebianRelease.unpacked('trixie')).command('libvirtd')],
      ['12.8', (await DebianRelease.unpacked('sid')).command('libvirtd')]
    ]
    for (const [version, command] of commands) {
      const daemon = await Libvirtd.start(host, cleanup, { name: `libvirtd-${version}`, drivers: [], command })
      real.set(version, { path: join(daemon.socketDir, 'libvirt-admin-sock'), server: 'libvirtd' })
    }
    const broker = await Broker.start(cleanup, { log_outputs: '3:stderr' })
    ours = { path: join(broker.dir, 'libvirt-admin-sock'), server: 'virtproxyd' }
  })
  after(() => cleanup.run())

  /** What each says, which is to be the same; the server's name is left out of it. */
  async function same<T>(ask: (admin: AdminConnection, place: Place, version: string) => Promise<T>): Promise<void> {
    const one = async (place: Place, version: string): Promise<T> => {
      const admin = await AdminConnection.to(cleanup, place.path)
      const answer = await ask(admin, place, version)
      admin.client.destroy()
      return answer
    }
    for (const [version, place] of real) expect(await one(ours, version), version).to.deep.equal(await one(place, version))
  }

  for (const [what, proc, args, ...expected] of REFUSED) {
    it(`refuse ${what}`, () =>
      same(async (admin, { server }, version) => {
        const { code, domain, message, str2, int1, int2 } = await admin.refusal(proc, args(server))
        if (OTHER_WAY_ROUND.get(version) === what) return { code, domain, int1, int2 }
        expect([code, domain, message]).to.deep.equal(expected)
        return { code, domain, message, str2, int1, int2 }
      }))
  }

  it('refuse flags', () =>
    same(async (admin, { server }, version) => {
      const { id } = (await admin.clients('admin'))[0]!
      const errors = []
      for (const [proc, , args] of FLAGGED) {
        if (proc === ADMIN.connectDaemonShutdown && version === '9.0') continue
        errors.push(await admin.refusal(proc, args(8, server, id)))
      }
      return errors
    }))

  it('answer what they do not know, and go on', () =>
    same(async (admin, { server }, version) => {
      const answers = [
        await admin.client.call(1, undefined, { prog: PROGRAM.remote }),
        await admin.client.call(1, undefined, { prog: PROGRAM.admin, vers: 2 }),
        await admin.call(0),
        await admin.call(21),
        await admin.call(ADMIN.connectOpen),
        await admin.call(ADMIN.serverSetClientLimits, serverName(server).u32(33))
      ]
      await admin.ask(ADMIN.connectOpen, flags())
      await admin.ask(ADMIN.connectOpen, flags())
      expect(answers.map(({ status }) => status)).to.deep.equal(answers.map(() => STATUS.error))
      // The template of the message, str1, came to be another between the two.
      return answers.map(({ payload }) => {
        const { str1, ...error } = decodeError(payload)
        return version === '9.0' ? error : { ...error, str1 }
      })
    }))

  it('leave who closes himself without an answer', () =>
    same(async admin => {
      await admin.ask(ADMIN.connectOpen, flags())
      const { id } = (await admin.clients('admin')).at(-1)!
      admin.post(ADMIN.clientClose, clientName('admin', id).u32(0))
      await admin.client.end()
      return admin.client.inbox
    }))

  it('say goodbye to who leaves', () =>
    same(async admin => {
      const { status, payload } = await admin.call(ADMIN.connectClose)
      await admin.client.end()
      return { status, payload }
    }))

  it('let nobody else in when the limit of the admin server is 0, until it is raised', () =>
    same(async (admin, { path }) => {
      await waitFor('the others to be gone', async () => (await admin.limits('admin')).nclients === 1)
      await admin.setLimits({ nclients_max: 0 }, 'admin')
      const other = await AdminConnection.to(cleanup, path)
      const serial = other.post(ADMIN.connectGetLibVersion)
      const limits = await admin.limits('admin')
      await admin.setLimits({ nclients_max: 5000 }, 'admin')
      await other.client.next({ serial })
      other.client.destroy()
      return limits
    }))
})
