import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { Administered, expectSame, type Transcript } from '../support/administered.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { DebianRelease, type Suite } from '../support/debian-release.js'
import { Libvirtd } from '../support/libvirtd.js'
import { Pki, type Credentials } from '../support/pki.js'
import { privateEtc } from '../support/private-etc.js'
import { PrivateHost } from '../support/private-host.js'
import { freePort } from '../support/free-port.js'
import { APART, SAME } from './commands/virt-admin.js'

/** Sid goes on; 12.8 is what it had when this was written. */
const RELEASES: readonly [Suite, version: RegExp][] = [['trixie', /^11\.3\./], ['sid', /^12\.([89]|\d\d)\./]]
const OURS = '12.8.0'

for (const [suite, version] of RELEASES) {
  /** virt-admin of another release with a real libvirtd of the same, and with the broker in its place. */
  describe(`virt-admin of Debian ${suite}`, function () {
    this.timeout(120_000)
    const cleanup = new Cleanup()
    let release: DebianRelease
    let host: PrivateHost
    let pki: Pki
    let identity: Credentials
    let libvirtd: Administered
    let virtproxyd: Administered

    before(async () => {
      release = await DebianRelease.unpacked(suite)
      host = await PrivateHost.start(cleanup, { ownPids: false })
      await host.exec(['sh', '-c', privateEtc(host.dir)])
      pki = await Pki.make(cleanup)
      identity = await pki.server()
      await useIdentity(identity)
      libvirtd = (await startLibvirtd('libvirtd')).administered
      virtproxyd = (await startBroker()).administered
    })
    after(() => cleanup.run())

    /** libvirt loads anew what is in its default places, and only that. */
    async function useIdentity({ certificate, key }: Credentials): Promise<void> {
      const dir = join(host.dir, 'all-of-etc/pki')
      await mkdir(join(dir, 'CA'), { recursive: true })
      await mkdir(join(dir, 'libvirt/private'), { recursive: true })
      await copyFile(pki.ca.certificate, join(dir, 'CA/cacert.pem'))
      await copyFile(certificate, join(dir, 'libvirt/servercert.pem'))
      await copyFile(key, join(dir, 'libvirt/private/serverkey.pem'))
    }

    const tool = (): string[] => release.command('virt-admin')

    async function startLibvirtd(name: string): Promise<{ daemon: Libvirtd; administered: Administered }> {
      // On a network of its own.
      const conf = { listen_tls: 1, auth_tls: 'none', listen_addr: '127.0.0.1', tls_port: String(16_514 + name.length) }
      const command = release.command('libvirtd')
      const daemon = await Libvirtd.start(host, cleanup, { name, drivers: [], conf, args: ['--listen'], command })
      const socket = join(daemon.socketDir, 'libvirt-admin-sock')
      return { daemon, administered: new Administered('libvirtd', socket, daemon.uri('test', '/default'), tool()) }
    }

    async function startBroker(): Promise<{ broker: Broker; administered: Administered }> {
      const broker = await Broker.start(cleanup, {
        embedded_test_driver: 1, actor_threads: 2, log_outputs: '3:stderr',
        listen_tls: 1, tls_port: String(await freePort()), auth_tls: 'none',
        ca_file: join(host.dir, 'all-of-etc/pki/CA/cacert.pem'),
        cert_file: join(host.dir, 'all-of-etc/pki/libvirt/servercert.pem'),
        key_file: join(host.dir, 'all-of-etc/pki/libvirt/private/serverkey.pem')
      })
      const socket = join(broker.dir, 'libvirt-admin-sock')
      return { broker, administered: new Administered('virtproxyd', socket, broker.unixUri('test', '/default'), tool()) }
    }

    const both = async <T>(act: (daemon: Administered) => Promise<T>): Promise<[T, T]> => [await act(libvirtd), await act(virtproxyd)]

    it('says which version it talks to', async () => {
      const [expected, found] = await both(daemon => daemon.transcript(['version']))
      const its = /(?<=Running against daemon: )\S+/.exec(expected.stdout)![0]
      expect(its).to.match(version)
      expect(found).to.deep.equal({ ...expected, stdout: expected.stdout.replace(`daemon: ${its}`, `daemon: ${OURS}`) })
    })

    it('has no other commands than those that are tried here', async () => {
      const { stdout } = await libvirtd.virtAdmin('help')
      const ofDaemons = stdout.slice(stdout.indexOf("(help keyword 'monitor')"))
      const commands = [...ofDaemons.matchAll(/^ {4}(\S+)/gm)].map(([, name]) => name!)
      expect(commands).to.include('daemon-shutdown')
      const tried = new Set([...SAME.map(([name]) => name!), ...APART])
      expect(commands.filter(name => !tried.has(name))).to.deep.equal([])
    })

    it('prints the same for each, whether it succeeds or not', async () => {
      await expectSame(cleanup, libvirtd, virtproxyd, [...SAME, ['daemon-timeout', '0']])
    })

    it('lists both servers', async () => {
      expect(await both(daemon => daemon.servers())).to.deep.equal([['admin', 'libvirtd'], ['admin', 'virtproxyd']])
    })

    it('shows the same of a client, and then what only the broker has', async () => {
      const [its, ours] = await both(daemon => daemon.onlyClient(cleanup))
      const info = async (daemon: Administered, id: string): Promise<string[]> => {
        const lines = await daemon.lines('client-info', daemon.server, id)
        return lines.map(line => line.replace(/^(id|connection_time|unix_process_id)( *): .*/, '$1$2: X'))
      }
      const [expected, found] = [await info(libvirtd, its.id), await info(virtproxyd, ours.id)]
      expect(found.slice(0, expected.length)).to.deep.equal(expected)
      expect(found[expected.length]).to.match(/^state +: serving$/)
    })

    it('shows the workers by the same names', async () => {
      const [expected, found] = await both(async daemon => {
        const lines = await daemon.lines('server-threadpool-info', daemon.server)
        return lines.map(line => line.split(':')[0]!.trim())
      })
      expect(found).to.deep.equal(expected)
    })

    it('has TLS files loaded anew, and is told what is wrong with them', async () => {
      const nonsense = join(pki.dir, 'nonsense')
      await writeFile(nonsense, 'nonsense\n')
      const { certificate } = await pki.server({}, { by: await pki.authority('another') })
      const update = (daemon: Administered): Promise<Transcript> => daemon.transcript(['server-update-tls', '@'])
      const plain = ({ stderr, ...rest }: Transcript): Transcript => ({
        ...rest,
        // What is wrong with a key each library says in its own words.
        stderr: stderr.replaceAll(join(host.dir, 'all-of-etc'), '/etc').replace(/(servercert\.pem): .*/, '$1: WHY')
      })
      try {
        for (const bad of [{ ...identity, certificate: nonsense }, { ...identity, key: nonsense }, { ...identity, certificate }]) {
          await useIdentity(bad)
          const [expected, found] = await both(update)
          expect(expected.status).to.equal(1)
          expect(plain(found)).to.deep.equal(plain(expected))
        }
      } finally {
        await useIdentity(identity)
      }
      const [expected, found] = await both(update)
      expect(expected.stdout).to.contain('succeed')
      expect(found).to.deep.equal(expected)
    })

    for (const preserve of [[], ['--preserve']]) {
      it(`shuts the daemon down${preserve.map(option => `, ${option}`).join('')}`, async () => {
        const { daemon, administered: its } = await startLibvirtd(`libvirtd${preserve.length}-down`)
        const { broker, administered: ours } = await startBroker()
        const expected = await its.transcript(['daemon-shutdown', ...preserve])
        const found = await ours.transcript(['daemon-shutdown', ...preserve])
        // libvirtd is gone before its reply is out.
        expect(expected).to.include({ status: 1 }).and.nested.property('stderr').that.contains('End of file while reading data')
        // Its goodbye may find the connection closed, which ends a program that writes to a UNIX socket.
        expect(found).to.deep.equal({ ...expected, status: found.status === null ? null : 0, stderr: '' })
        expect((await daemon.exited).status).to.equal(0)
        expect(await broker.program.exited).to.deep.equal({ status: 0, signal: null })
      })
    }

    it('has it end when nobody is there', async () => {
      const { daemon, administered: its } = await startLibvirtd('libvirtd-timeout')
      const { broker, administered: ours } = await startBroker()
      for (const one of [its, ours]) expect(await one.transcript(['daemon-timeout', '1'])).to.include({ status: 0, stderr: '' })
      expect((await daemon.exited).status).to.equal(0)
      expect(await broker.program.exited).to.deep.equal({ status: 0, signal: null })
    })
  })
}
