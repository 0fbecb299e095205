import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { connectAs, openToAll, USER } from '../support/as-user.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv } from '../support/clients.js'
import type { Conf } from '../support/conf-file.js'
import type { Frame } from '../support/frame-socket.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PolkitBus } from '../support/polkit-bus.js'
import { PrivateHost } from '../support/private-host.js'
import { run, type Outcome } from '../support/processes.js'

const rules = `polkit.addRule(function(action, subject) {
  if (action.id.indexOf('org.libvirt.api.storage-pool.') !== 0) return
  if (subject.user === 'daemon') return polkit.Result.YES
  if (subject.user === 'bin' && action.lookup('pool_name') === 'shared') return polkit.Result.YES
  return polkit.Result.NO
})`

const poolXml = (name: string): string =>
  `<pool type='dir'><name>${name}</name><target><path>/tmp/pool-${name}</path></target></pool>`

/** The daemon asks polkit about the process and user that the broker tells it of. */
describe("a libvirtd that checks each call's access", () => {
  const cleanup = new Cleanup()
  let daemon: Libvirtd
  let broker: Broker

  before(async () => {
    const bus = await PolkitBus.start(cleanup, rules)
    const host = await PrivateHost.start(cleanup, { ownPids: false })
    process.env['DBUS_SYSTEM_BUS_ADDRESS'] = bus.address
    const conf = { access_drivers: ['polkit'] }
    daemon = await Libvirtd.start(host, cleanup, { drivers: ['storage'], conf }).finally(() => {
      delete process.env['DBUS_SYSTEM_BUS_ADDRESS']
    })
    // With "user" it is told of no process: that has a test of its own.
    broker = await start(process.env['VIRTBROKER_TEST_SHARING'] === 'user' ? { driver_sharing: 'identity' } : {})
  })

  after(() => cleanup.run())

  async function start(more: Conf): Promise<Broker> {
    const started = await Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`], unix_sock_rw_perms: '0777', ...more })
    await openToAll(started.dir)
    return started
  }

  const define = async (uid: number, pool: string, by = broker): Promise<Frame> => {
    const client = await connectAs(cleanup, uid, by.socket)
    const opened = await client.open('storage:///system')
    if (opened.status !== STATUS.ok) return opened
    return client.call(REMOTE.storagePoolDefineXml, new XdrWriter().string(poolXml(pool)).u32(0).finish())
  }

  const virshAs = (uid: number, command: string): Promise<Outcome> => {
    const argv = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', 'virsh', '-c']
    return run([...argv, broker.unixUri('storage', '/system'), command], { env: clientEnv })
  }

  function expectDenied(reply: Frame): void {
    expect(reply.status).to.equal(STATUS.error)
    const { code, domain, message } = decodeError(reply.payload)
    expect([code, domain, message]).to.deep.equal([88, 55, "access denied: 'storage' denied access"])
  }

  it('tells two users of one broker from each other', async () => {
    const [allowed, denied] = await Promise.all([define(USER.daemon, 'private'), define(USER.bin, 'other')])
    expect(allowed.status).to.equal(STATUS.ok)
    expectDenied(denied)
    expect((await define(USER.bin, 'shared')).status).to.equal(STATUS.ok)
  })

  it('shows each virsh what its user may see', async () => {
    await define(USER.daemon, 'private')
    await define(USER.daemon, 'shared')
    const [all, some] = await Promise.all([
      virshAs(USER.daemon, 'pool-list --all --name'), virshAs(USER.bin, 'pool-list --all --name')
    ])
    expect(all.stdout.split(/\s+/).filter(Boolean).sort(), all.stderr).to.deep.equal(['private', 'shared'])
    expect(some.stdout.split(/\s+/).filter(Boolean), some.stderr).to.deep.equal(['shared'])
    const { stderr } = await virshAs(USER.bin, 'pool-undefine private')
    expect(stderr).to.contain('access denied')
  })

  it('refuses the calls of whom it is told no process', async () => {
    expect((await define(USER.daemon, 'told', await start({ driver_sharing: 'identity' }))).status).to.equal(STATUS.ok)
    expect((await define(USER.daemon, 'untold', await start({ driver_sharing: 'user' }))).status).to.equal(STATUS.error)
  })

  it('does not let a client speak for another', async () => {
    const client = await connectAs(cleanup, USER.bin, broker.socket)
    await client.open('storage:///system')
    const identity = new XdrWriter().u32(1).string('unix-user-id').i32(4).u64(0n).u32(0).finish()
    expect((await client.call(REMOTE.connectSetIdentity, identity)).status).to.equal(STATUS.ok)
    const pool = new XdrWriter().string(poolXml('mine')).u32(0).finish()
    expectDenied(await client.call(REMOTE.storagePoolDefineXml, pool))
  })
})
