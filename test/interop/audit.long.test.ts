import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { AuditLines, deed, LOGON, type AuditRecord } from '../support/audit-lines.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv, commandOk, startPython, virsh, virshOk } from '../support/clients.js'
import { freePort } from '../support/free-port.js'
import { guestXml } from '../support/guest.js'
import { Libvirtd, startVirtlogd } from '../support/libvirtd.js'
import { Pki } from '../support/pki.js'
import { PrivateHost } from '../support/private-host.js'
import { printed, run } from '../support/processes.js'
import { SaslFiles } from '../support/sasl.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const leaveConsole = '\x1d'
const GUEST = '33333333-aaaa-4aaa-8aaa-000000000002'
const SECRET = '33333333-aaaa-4aaa-8aaa-000000000003'
const FILTER = '33333333-aaaa-4aaa-8aaa-000000000004'

describe('the audit of what real clients do', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let dir: string
  let daemon: Libvirtd
  let broker: Broker
  let lines: AuditLines
  let tlsPort: number
  let pki: Pki
  let sasl: SaslFiles
  let seen = 0

  before(async () => {
    const host = await PrivateHost.start(cleanup)
    await startVirtlogd(host, cleanup)
    daemon = await Libvirtd.start(host, cleanup)
    dir = await tempDir(cleanup)
    lines = new AuditLines(join(dir, 'audit.json'))
    pki = await Pki.make(cleanup)
    const server = await pki.server()
    tlsPort = await freePort()
    sasl = await SaslFiles.create(cleanup, 'digest-md5')
    await sasl.addUser('fred', 'secret')
    broker = await sasl.inUse(() => Broker.start(cleanup, {
      driver_sockets: [`*=${daemon.socket}`], audit_output: `file:${lines.path}`, auth_tcp: 'sasl',
      listen_tls: 1, tls_port: String(tlsPort), ca_file: pki.ca.certificate, cert_file: server.certificate, key_file: server.key
    }))
    // Connections by which `Broker.start` saw that it is there.
    await lines.until('them gone', record => ['end done', 'login failed'].includes(deed(record)), 3)
    seen = (await lines.all()).length
  })

  after(() => cleanup.run())

  /** What has been told since the last time, when as much as is expected has been. */
  async function told(expected: readonly string[], fits: (record: AuditRecord) => boolean = () => true): Promise<AuditRecord[]> {
    const fresh = async (): Promise<AuditRecord[]> => (await lines.all()).slice(seen).filter(fits)
    await waitFor(`${expected.length} records`, async () => (await fresh()).length >= expected.length).catch(() => undefined)
    const found = await fresh()
    expect(found.map(deed)).to.deep.equal(expected)
    seen = (await lines.all()).length
    return found
  }

  /** One virsh with several commands, in whose session nothing else happens. */
  async function does(uri: string, commands: readonly string[], expected: readonly string[], opened = uri): Promise<AuditRecord[]> {
    seen = (await lines.all()).length
    await virsh(uri, commands.join('; '))
    return told(['login done', `CONNECT_OPEN ${opened} done`, ...expected, 'end done'])
  }

  it('tells of a guest that is defined, started, looked at, and deleted', async () => {
    await writeFile(join(dir, 'tiny.xml'), guestXml('tiny', GUEST))
    const found = await does(broker.unixUri('qemu', '/system'), [
      `define ${dir}/tiny.xml`, 'start tiny', 'dominfo tiny', 'dumpxml tiny', 'dumpxml tiny --security-info',
      `screenshot tiny ${dir}/screen`, 'qemu-monitor-command tiny --hmp info status', 'qemu-agent-command tiny {}',
      'send-key tiny KEY_A', 'destroy tiny', 'destroy tiny', 'undefine tiny'
    ], [
      'DOMAIN_DEFINE_XML tiny done', 'DOMAIN_CREATE tiny done', 'DOMAIN_GET_XML_DESC tiny done', 'DOMAIN_SCREENSHOT tiny done',
      'QEMU_DOMAIN_MONITOR_COMMAND tiny done', 'QEMU_DOMAIN_AGENT_COMMAND tiny failed 74', 'DOMAIN_SEND_KEY tiny done',
      'DOMAIN_DESTROY tiny done', 'DOMAIN_DESTROY tiny failed 55', 'DOMAIN_UNDEFINE_FLAGS tiny done'
    ], 'qemu:///system')
    const objects = found.flatMap(({ resources = [] }) => resources).filter(({ type }) => type === 'domain')
    for (const { uid } of objects) expect(uid).to.equal(GUEST)
    for (const { actor, user } of found) expect((user ?? actor!.user)!).to.deep.equal({ name: 'root', uid: '0' })
  })

  it('tells of a console that is opened', async () => {
    const uri = broker.unixUri('qemu', '/system')
    await virshOk(uri, `define ${dir}/tiny.xml; start tiny`)
    await told(['login done', 'CONNECT_OPEN qemu:///system done', 'DOMAIN_DEFINE_XML tiny done', 'DOMAIN_CREATE tiny done', 'end done'])
    const console = startPython('under_pty.py', 'virsh', '-c', uri, 'console tiny')
    cleanup.defer(() => console.stop())
    await printed(console, /Escape character is/)
    // It says so before it looks at keys, and forgets those that were pressed until then.
    await lines.until('the console', record => deed(record) === 'DOMAIN_OPEN_CONSOLE tiny done')
    console.child.stdin.write(leaveConsole)
    await console.exited
    await told(['login done', 'CONNECT_OPEN qemu:///system done', 'DOMAIN_OPEN_CONSOLE tiny done', 'end done'])
    await virshOk(uri, 'destroy tiny; undefine tiny')
    await told([
      'login done', 'CONNECT_OPEN qemu:///system done', 'DOMAIN_DESTROY tiny done', 'DOMAIN_UNDEFINE_FLAGS tiny done', 'end done'
    ])
  })

  it('tells of pools and volumes, and of what is written to and read from them', async () => {
    await mkdir(join(daemon.host.dir, 'pool'))
    await writeFile(join(dir, 'bytes'), 'x'.repeat(1000))
    const found = await does(broker.unixUri('qemu', '/system'), [
      `pool-create-as images dir --target ${daemon.host.dir}/pool`, 'vol-create-as images a.img 1M',
      `vol-upload a.img ${dir}/bytes --pool images`,
      `vol-download a.img ${dir}/back --pool images`, 'vol-resize a.img 2M --pool images', 'vol-delete a.img --pool images',
      'pool-destroy images'
    ], [
      'STORAGE_POOL_CREATE_XML images done', 'STORAGE_VOL_CREATE_XML a.img in images done', 'STORAGE_VOL_UPLOAD a.img in images done',
      'STORAGE_VOL_DOWNLOAD a.img in images done', 'STORAGE_VOL_RESIZE a.img in images done', 'STORAGE_VOL_DELETE a.img in images done',
      'STORAGE_POOL_DESTROY images done'
    ], 'qemu:///system')
    const [volume] = found.find(({ api }) => api?.operation === 'STORAGE_VOL_UPLOAD')!.resources!
    expect(volume!.uid).to.equal(`${daemon.host.dir}/pool/a.img`)
  })

  it('tells of secrets, filters and networks', async () => {
    const usage = "<usage type='volume'><volume>/a.img</volume></usage>"
    await writeFile(join(dir, 'secret.xml'), `<secret ephemeral='no' private='no'><uuid>${SECRET}</uuid>${usage}</secret>`)
    await writeFile(join(dir, 'filter.xml'), `<filter name='quiet'><uuid>${FILTER}</uuid></filter>`)
    await writeFile(join(dir, 'net.xml'), '<network><name>alone</name></network>')
    const found = await does(broker.unixUri('qemu', '/system'), [
      `secret-define ${dir}/secret.xml`, `secret-set-value ${SECRET} --base64 c2VjcmV0`, `secret-get-value ${SECRET}`,
      `secret-undefine ${SECRET}`,
      `nwfilter-define ${dir}/filter.xml`, 'nwfilter-undefine quiet', `net-define ${dir}/net.xml`, 'net-autostart alone',
      'net-undefine alone'
    ], [
      'SECRET_DEFINE_XML /a.img done', 'SECRET_SET_VALUE /a.img done', 'SECRET_GET_VALUE /a.img done', 'SECRET_UNDEFINE /a.img done',
      'NWFILTER_DEFINE_XML quiet done', 'NWFILTER_UNDEFINE quiet done', 'NETWORK_DEFINE_XML alone done', 'NETWORK_SET_AUTOSTART alone done',
      'NETWORK_UNDEFINE alone done'
    ], 'qemu:///system')
    const uids = found.flatMap(({ resources = [] }) => resources.map(({ type, uid }) => [type, uid]))
    expect(uids).to.deep.include(['secret', SECRET]).and.to.deep.include(['nwfilter', FILTER])
  })

  it('tells of what the test driver of libvirt has: snapshots, interfaces, guests that are saved', async () => {
    const inner = "<start mode='none'/><mac address='aa:bb:cc:dd:ee:07'/>"
    await writeFile(join(dir, 'iface.xml'), `<interface type='ethernet' name='eth7'>${inner}</interface>`)
    const found = await does(broker.unixUri('test', '/default'), [
      'snapshot-create-as test before', 'snapshot-revert test before', 'snapshot-delete test before',
      `iface-define ${dir}/iface.xml`, 'iface-start eth7', 'iface-destroy eth7', 'iface-undefine eth7',
      'managedsave-remove test', 'destroy test', 'suspend test', 'start test'
    ], [
      'DOMAIN_SNAPSHOT_CREATE_XML before in test done', 'DOMAIN_REVERT_TO_SNAPSHOT before in test done',
      'DOMAIN_SNAPSHOT_DELETE before in test done',
      'INTERFACE_DEFINE_XML eth7 done', 'INTERFACE_CREATE eth7 done', 'INTERFACE_DESTROY eth7 done', 'INTERFACE_UNDEFINE eth7 done',
      'DOMAIN_DESTROY test done', 'DOMAIN_SUSPEND test failed 1', 'DOMAIN_CREATE test done'
    ], 'test:///default')
    await commandOk(broker.unixUri('test', '/default'), 'save test /dev/null')
    await told(['login done', 'CONNECT_OPEN test:///default done', 'DOMAIN_SAVE test done', 'end done'])
    expect(found.flatMap(({ resources = [] }) => resources)).to.deep.include({ type: 'interface', name: 'eth7', uid: 'aa:bb:cc:dd:ee:07' })
  })

  it('tells whom SASL has let in, and whom it has not', async () => {
    seen = (await lines.all()).length
    const uri = broker.tcpUri('qemu', '/system')
    const env = async (password: string): Promise<NodeJS.ProcessEnv> =>
      ({ ...clientEnv, LIBVIRT_AUTH_FILE: await sasl.credentials('fred', password) })
    await run(['virsh', '-c', uri, 'destroy', 'nosuch'], { env: await env('secret') })
    const [login] = await told(['login done', 'CONNECT_OPEN qemu:///system done', 'end done'])
    expect(login!.user!.name).to.match(/^fred/)
    await run(['virsh', '-c', uri, 'list'], { env: await env('wrong') })
    const [refused] = await told(['login failed'])
    expect(refused!.status_detail).to.match(/^SASL: /)
    expect(refused).to.deep.include({ auth_protocol: 'SASL' })
  })

  it('tells by which certificate a client has come, and why another has not', async () => {
    seen = (await lines.all()).length
    const good = await pki.client({ cn: 'ann' })
    const other = await (await Pki.make(cleanup)).client({ cn: 'eve' })
    // Our checks are what is looked at, so the client does not check its own files.
    const uri = async (who: Parameters<Pki['pkipath']>[0]): Promise<string> =>
      `qemu+tls://127.0.0.1:${tlsPort}/system?no_sanity=1&pkipath=${await pki.pkipath(who)}`
    await virshOk(await uri(good), 'net-list')
    const [login] = await told(['login done', 'CONNECT_OPEN qemu:///system done', 'end done'])
    expect(login!.unmapped.dn).to.match(/CN=ann/)
    expect(login!.certificate!.serial_number).to.match(/^[0-9a-fA-F]+$/)
    await virsh(await uri(other), 'net-list')
    const [refused] = await told(['login failed'])
    expect(refused!.activity_id).to.equal(LOGON)
    expect(refused!.status_detail).to.match(/Failed to verify peer's certificate: .*CN=eve/)
  })
})
