import { readFile } from 'node:fs/promises'
import type { ConnectionOptions } from 'node:tls'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { encodeSetIdentity } from '#protocol/identity.js'
import { encodeSaslStart } from '#protocol/messages/auth.js'
import { LXC, QEMU, REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { connectAs, openToAll, USER } from '../support/as-user.js'
import { Cleanup } from '../support/cleanup.js'
import { freePort } from '../support/free-port.js'
import type { Frame } from '../support/frame-socket.js'
import { Pki } from '../support/pki.js'
import { run } from '../support/processes.js'
import { RawClient } from '../support/raw-client.js'
import { SaslFiles } from '../support/sasl.js'
import { canConnect } from '../support/sockets.js'
import { Stage } from '../support/stage.js'
import { confirmed } from '../support/tls-client.js'
import { waitFor } from '../support/waiting.js'

/** Arguments that are a domain, then what `write` adds. */
function domain(write: (xdr: XdrWriter) => XdrWriter = xdr => xdr): Buffer {
  return write(new XdrWriter().string('guest').fixed(Buffer.alloc(16, 7)).i32(-1)).finish()
}

const DENIED = [88, 55, "access denied: 'virtbroker' denied access"]

function expectDenied(reply: Frame, what?: string): void {
  expect(reply.status, what).to.equal(STATUS.error)
  const { code, domain: from, message } = decodeError(reply.payload)
  expect([code, from, message], what).to.deep.equal(DENIED)
}

function expectPassed(reply: Frame, what?: string): void {
  expect(reply.status, what).to.equal(STATUS.ok)
}

/** How many calls of a procedure have come to the driver daemon. */
const came = ({ driver }: Stage, proc: number): number => driver.connections.flatMap(daemon => daemon.serialsOf(proc)).length

describe('procedure policy', () => {
  const cleanup = new Cleanup()
  let stage: Stage

  before(async () => {
    const sasl = await SaslFiles.create(cleanup, 'plain')
    await sasl.addUser('fred', 'secret')
    await sasl.addUser('backup', 'secret')
    stage = await sasl.inUse(() => Stage.start(cleanup, {
      auth_unix_rw: 'none',
      auth_unix_ro: 'sasl',
      unix_sock_rw_perms: '0777',
      unix_sock_ro_perms: '0777',
      procedure_policy: [
        'listener=tcp & address=127.0.0.0/8 => allow connect:* domain:getattr domain:read domain:write',
        'listener=tcp => deny DOMAIN_MIGRATE_* QEMU_*',
        'address=10.0.0.1-10.0.0.9 => deny *:*',
        `uid=${USER.daemon} => deny domain:delete`,
        `uid=${USER.bin} & listener=tcp => deny *:*`,
        'sasl=back* => allow CONNECT_GET_LIB_VERSION DOMAIN_GET_XML_DESC',
        'sasl=back* => deny domain:read_secure',
        'dn=*CN=nobody => deny *:*'
      ]
    }))
    await stage.addDriver('virtqemud-sock-ro')
    await openToAll(stage.broker.dir)
  })

  after(() => cleanup.run())

  async function opened(client: RawClient): Promise<RawClient> {
    expectPassed(await client.open('qemu:///system'))
    return client
  }

  const overTcp = async (): Promise<RawClient> => opened(await stage.connect())
  const asUser = async (uid: number): Promise<RawClient> =>
    opened(await connectAs(cleanup, uid, stage.broker.socket))

  async function asSaslUser(name: string): Promise<RawClient> {
    const client = await stage.connect(stage.broker.roSocket)
    await client.call(REMOTE.authSaslInit)
    const data = Buffer.from(`\0${name}\0secret`)
    expectPassed(await client.call(REMOTE.authSaslStart, encodeSaslStart({ mechanism: 'PLAIN', data })))
    return opened(client)
  }

  it('passes what every permission is given for, and refuses the rest', async () => {
    const client = await overTcp()
    expectPassed(await client.call(REMOTE.domainGetInfo, domain()))
    expectPassed(await client.call(REMOTE.connectGetCapabilities))
    expectPassed(await client.call(REMOTE.domainSetMemory, domain(xdr => xdr.u64(1n))))
    expectDenied(await client.call(REMOTE.domainDestroy, domain()))
    // It needs domain:write, which is given, and domain:start, which is not.
    expectDenied(await client.call(REMOTE.domainCreateXml, new XdrWriter().string('<domain/>').u32(0).finish()))
    expectDenied(await client.call(REMOTE.storageVolDelete))
  })

  it('keeps refused calls from the driver daemon, and says in the log what was refused to whom', async () => {
    const client = await asUser(USER.daemon)
    expectDenied(await client.call(REMOTE.domainUndefine, domain()))
    expectPassed(await client.call(REMOTE.domainDestroy, domain()))
    expect([came(stage, REMOTE.domainDestroy), came(stage, REMOTE.domainUndefine)]).to.deep.equal([1, 0])
    const line = /policy: DOMAIN_UNDEFINE refused for user 'daemon' \(1\)/
    await waitFor('the line in the log', () => line.test(stage.broker.program.stderr))
  })

  it('lets a denial win, by the name of a procedure or of a permission', async () => {
    const client = await overTcp()
    client.send({ prog: PROGRAM.qemu, proc: QEMU.domainMonitorCommand, serial: 900 }, domain())
    expectDenied(await client.next({ type: MESSAGE.reply, serial: 900 }))
  })

  it('refuses unknown procedures where only some are allowed, and passes them elsewhere', async () => {
    expectDenied(await (await overTcp()).call(4000))
    expectPassed(await (await asUser(USER.daemon)).call(4000))
  })

  it('refuses calls of all programs', async () => {
    const client = await overTcp()
    client.send({ prog: PROGRAM.lxc, proc: LXC.domainOpenNamespace, serial: 900 }, domain())
    expectDenied(await client.next({ type: MESSAGE.reply, serial: 900 }))
  })

  it('is nothing to those whom no rule fits', async () => {
    const client = await asUser(USER.bin)
    expectPassed(await client.call(REMOTE.domainUndefine, domain()))
    expectPassed(await (await asSaslUser('fred')).call(REMOTE.domainGetInfo, domain()))
  })

  it('fits SASL names', async () => {
    const client = await asSaslUser('backup')
    expectPassed(await client.call(REMOTE.connectGetLibVersion))
    expectPassed(await client.call(REMOTE.domainGetXmlDesc, domain(xdr => xdr.u32(0))))
    expectDenied(await client.call(REMOTE.domainGetInfo, domain()))
  })

  it('looks at the flags where a permission depends on them, whatever stands behind', async () => {
    const client = await asSaslUser('backup')
    const getXml = (flags: number, more = 0): Promise<Frame> =>
      client.call(REMOTE.domainGetXmlDesc, Buffer.concat([domain(xdr => xdr.u32(flags)), Buffer.alloc(more)]))
    expectPassed(await getXml(2))
    expectDenied(await getXml(1))
    expectDenied(await getXml(8))
    expectDenied(await getXml(1, 4))
    expectDenied(await getXml(3, 64))
    const cut = await client.call(REMOTE.domainGetXmlDesc, Buffer.alloc(10))
    expect(decodeError(cut.payload).message).to.equal('Unable to decode message payload')

    const tcp = await overTcp()
    const attach = (flags: number): Promise<Frame> =>
      tcp.call(REMOTE.domainAttachDeviceFlags, domain(xdr => xdr.string('<disk/>').u32(flags)))
    expectPassed(await attach(1))
    expectDenied(await attach(2), 'saved')
    expectDenied(await attach(3), 'live and saved')
    expectDenied(await attach(0), 'whichever it is')
  })

  it('cannot be escaped by a CONNECT_SET_IDENTITY of the client', async () => {
    const client = await asUser(USER.daemon)
    expectPassed(await client.call(REMOTE.connectSetIdentity, encodeSetIdentity({ userName: 'root', userId: 0 })))
    expectDenied(await client.call(REMOTE.domainUndefine, domain()))
  })

  it('says nothing before there is a connection that a call could need', async () => {
    const client = await stage.connect()
    const reply = await client.call(REMOTE.domainDestroy, domain())
    expect(decodeError(reply.payload).message).to.equal('internal error: hypervisor connection not open')
    expect(decodeError((await client.call(4000)).payload).message).to.equal('unknown procedure: 4000')
  })

  it('fits no certificate name, not even with *, where nobody vouches for one', async () => {
    const [pki, stranger] = [await Pki.make(cleanup), await Pki.make(cleanup)]
    const { certificate, key } = await pki.server()
    const port = await freePort()
    const own = await Stage.start(cleanup, {
      listen_tls: 1, tls_port: String(port), ca_file: pki.ca.certificate, cert_file: certificate, key_file: key,
      tls_no_verify_certificate: 1, procedure_policy: ['listener=tls => allow connect:*', 'dn=* => allow domain:read']
    })
    await waitFor('the TLS listener', () => canConnect(port))
    const info = async (options: ConnectionOptions): Promise<Frame> => {
      const socket = await confirmed(port, await pki.client(), options)
      cleanup.defer(() => Promise.resolve(socket.destroy()))
      return (await opened(new RawClient(socket))).call(REMOTE.domainGetInfo, domain())
    }
    const forged = await stranger.client()
    expectPassed(await info({}))
    expectDenied(await info({ cert: undefined, key: undefined }), 'no certificate')
    expectDenied(await info({ cert: await readFile(forged.certificate), key: await readFile(forged.key) }), 'forged')
    expect(came(own, REMOTE.domainGetInfo)).to.equal(1)
  })

  it('is an error like any other to virsh', async () => {
    const uri = stage.broker.tcpUri('qemu', '/system')
    const env = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', HOME: '/nonexistent' }
    const { stderr } = await run(['virsh', '-c', uri, 'net-define', '/etc/hostname'], { env })
    expect(stderr).to.contain("access denied: 'virtbroker' denied access")
  })
})
