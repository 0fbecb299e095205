import { join } from 'node:path'
import { expect } from 'chai'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { clientEnv, interactiveVirsh } from '../support/clients.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { type Outcome, type Program, run } from '../support/processes.js'
import { waitFor } from '../support/waiting.js'

/** A daemon that virt-admin is pointed at, and one client that it has. */
interface Daemon {
  name: string
  admin: string
  uri: string
  client?: Program
}

/** What virt-admin prints, with the names of the daemon, of its server and of its files left out. */
type Transcript = Pick<Outcome, 'status' | 'stdout' | 'stderr'>

const uriOf = (socket: string): string => `libvirtd:///system?socket=${socket}`

const virtAdmin = (uri: string, ...args: string[]): Promise<Outcome> => run(['virt-admin', '-c', uri, ...args], { env: clientEnv })

/** Commands whose text is to be the same; `@` is the name of the server, `#` the number of its client. */
const SAME: readonly string[][] = [
  ['server-threadpool-info', 'x'],
  ['server-threadpool-set', 'x', '--max-workers', '3'],
  ['server-threadpool-set', '@'],
  ['server-threadpool-set', '@', '--min-workers', '5', '--max-workers', '3'],
  ['server-threadpool-set', '@', '--min-workers', '1000'],
  ['server-threadpool-set', '@', '--min-workers', '0', '--max-workers', '0'],
  ['client-list', '@'],
  ['client-list', 'x'],
  ['client-list', 'admin'],
  ['client-info', '@', '99'],
  ['client-info', 'x', '1'],
  ['client-info', '@', 'one'],
  ['client-disconnect', '@', '99'],
  ['client-disconnect', 'x', '1'],
  ['server-clients-info', '@'],
  ['server-clients-info', 'admin'],
  ['server-clients-info', 'x'],
  ['server-clients-set', '@', '--max-clients', '30', '--max-unauth-clients', '7'],
  ['server-clients-info', '@'],
  ['server-clients-set', '@', '--max-clients', '1', '--max-unauth-clients', '7'],
  ['server-clients-set', '@', '--max-unauth-clients', '0'],
  ['server-clients-set', '@', '--max-clients', '1'],
  ['server-clients-info', '@'],
  ['server-clients-set', '@'],
  ['server-clients-set', '@', '--max-clients', '5000'],
  ['server-clients-set', 'admin', '--max-clients', '50'],
  ['server-clients-info', 'admin'],
  ['server-update-tls', '@'],
  ['server-update-tls', 'admin'],
  ['server-update-tls', 'x'],
  ['daemon-log-filters'],
  ['daemon-log-filters', '1:qemu 3:+rpc'],
  ['daemon-log-filters'],
  ['daemon-log-filters', '1:a:b'],
  ['daemon-log-filters'],
  ['daemon-log-filters', 'qemu'],
  ['daemon-log-filters', '5:qemu'],
  ['daemon-log-filters', '1:'],
  ['daemon-log-filters', '1:+'],
  ['daemon-log-filters'],
  ['daemon-log-filters', ''],
  ['daemon-log-filters'],
  ['daemon-log-outputs'],
  ['daemon-log-outputs', '3:stderr 4:syslog:me'],
  ['daemon-log-outputs'],
  ['daemon-log-outputs', 'stderr'],
  ['daemon-log-outputs', '9:stderr'],
  ['daemon-log-outputs', '1:nope'],
  ['daemon-log-outputs', '1:file'],
  ['daemon-log-outputs', '1:file:/no/such/log'],
  ['daemon-log-outputs', '3:stderr 1:stderr'],
  ['daemon-log-outputs'],
  ['daemon-log-outputs', '3:stderr'],
  ['daemon-timeout', '--timeout', '3600'],
  ['daemon-timeout', '--timeout', '0'],
  ['daemon-timeout', '--timeout', 'x'],
  ['client-disconnect', '@', '#']
]

/** virt-admin of this system with a real libvirtd, and with the broker in its place. */
describe('virt-admin', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  let libvirtd: Daemon
  let virtproxyd: Daemon
  let broker: Broker

  before(async () => {
    const host = await PrivateHost.start(cleanup, { ownPids: false })
    const real = await Libvirtd.start(host, cleanup, { drivers: [] })
    broker = await Broker.start(cleanup, { embedded_test_driver: 1, log_outputs: '3:stderr' })
    libvirtd = { name: 'libvirtd', admin: uriOf(join(real.socketDir, 'libvirt-admin-sock')), uri: real.uri('test', '/default') }
    virtproxyd = { name: 'virtproxyd', admin: uriOf(join(broker.dir, 'libvirt-admin-sock')), uri: broker.unixUri('test', '/default') }
  })
  after(() => cleanup.run())

  const both = async <T>(act: (daemon: Daemon) => Promise<T>): Promise<[T, T]> => [await act(libvirtd), await act(virtproxyd)]

  /** Ids of clients, in the order of the list. */
  async function ids({ admin, name }: Daemon): Promise<string[]> {
    const { stdout } = await virtAdmin(admin, 'client-list', name)
    return [...stdout.matchAll(/^ (\d+) +(?:unix|tcp|tls) /gm)].map(([, id]) => id!)
  }

  /** A virsh that stays, and is the only client. */
  async function withClient(daemon: Daemon): Promise<string> {
    const client = await interactiveVirsh(daemon.uri)
    cleanup.defer(() => client.stop())
    daemon.client = client
    await waitFor('it to be alone', async () => (await ids(daemon)).length === 1)
    return (await ids(daemon))[0]!
  }

  async function transcript(daemon: Daemon, id: string, command: readonly string[]): Promise<Transcript> {
    const args = command.map(part => (part === '@' ? daemon.name : part === '#' ? id : part))
    const { status, stdout, stderr } = await virtAdmin(daemon.admin, ...args)
    const plain = (text: string): string =>
      text
        .replaceAll(daemon.admin, 'URI')
        .replaceAll(daemon.name, 'SERVER')
        // Rows of clients: number and time.
        .replace(/^ \d+( +)(unix|tcp|tls) .*$/gm, ' N $2 TIME')
        .replace(/Client '\d+'/g, "Client 'N'")
        .replace(/-{3,}/g, '---')
        .replace(/ +$/gm, '')
    return { status, stdout: plain(stdout), stderr: plain(stderr) }
  }

  it('prints the same for each command, whether it succeeds or not', async () => {
    const [its, ours] = await both(withClient)
    for (const command of SAME) {
      const expected = await transcript(libvirtd, its, command)
      expect(await transcript(virtproxyd, ours, command), command.join(' ')).to.deep.equal(expected)
    }
    for (const { client } of [libvirtd, virtproxyd]) client!.child.stdin.end('list\n')
    for (const { client } of [libvirtd, virtproxyd]) await client!.exited
  })

  it('lists both servers', async () => {
    const names = async (daemon: Daemon): Promise<string[]> => {
      const { stdout } = await virtAdmin(daemon.admin, 'server-list')
      return [...stdout.matchAll(/^ \d+ +(\S+)$/gm)].map(([, name]) => name!).sort()
    }
    expect(await both(names)).to.deep.equal([['admin', 'libvirtd'], ['admin', 'virtproxyd']])
  })

  it('says which version it talks to', async () => {
    const { stdout, status } = await virtAdmin(virtproxyd.admin, 'version')
    expect(stdout).to.match(/Running against daemon: 12\.8\.0\n/)
    expect(status).to.equal(0)
  })

  it('shows the same of a client, and then what only the broker has', async () => {
    const [its, ours] = await both(withClient)
    const info = async (daemon: Daemon, id: string): Promise<string[]> => {
      const { stdout } = await virtAdmin(daemon.admin, 'client-info', daemon.name, id)
      return stdout.trim().split('\n').map(line => line.replace(/^(id|connection_time|unix_process_id)( *): .*/, '$1$2: X'))
    }
    const [expected, found] = [await info(libvirtd, its), await info(virtproxyd, ours)]
    expect(found.slice(0, expected.length)).to.deep.equal(expected)
    expect(found.slice(expected.length).map(line => line.split(':')[0]!.trim())).to.deep.equal([
      'state', 'thread', 'uri', 'calls_in_flight', 'calls_waiting', 'streams', 'idle_seconds'
    ])
  })

  it('shows the address of a client that came by TCP', async () => {
    const client = await interactiveVirsh(broker.tcpUri('test', '/default'))
    cleanup.defer(() => client.stop())
    const last = (await ids(virtproxyd)).at(-1)!
    const { stdout } = await virtAdmin(virtproxyd.admin, 'client-info', 'virtproxyd', last)
    expect(stdout).to.match(/^transport *: tcp$/m).and.match(/^sock_addr *: 127\.0\.0\.1:\d+$/m)
  })

  it('finds the broker by each of its names', async () => {
    for (const name of ['libvirt-admin-sock', 'virtproxyd-admin-sock']) {
      const { status } = await virtAdmin(uriOf(join(broker.dir, name)), 'server-list')
      expect(status, name).to.equal(0)
    }
  })

  it('shows the workers by libvirt\'s names', async () => {
    const [expected, found] = await both(async ({ admin, name }) => {
      const { stdout } = await virtAdmin(admin, 'server-threadpool-info', name)
      return stdout.split('\n').map(line => line.split(':')[0]!.trim())
    })
    expect(found).to.deep.equal(expected)
  })
})
