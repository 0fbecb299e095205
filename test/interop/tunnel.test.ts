import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { virsh, virshOk } from '../support/clients.js'
import { Libvirtd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { mustRun } from '../support/processes.js'
import { tempDir } from '../support/temp-dir.js'
import { Watcher } from '../support/watcher.js'

/**
 * What a `qemu+ssh` client starts on the host at the other end, without the ssh: libvirt's `ext` transport runs any
 * program and speaks the protocol on its standard input and output.
 */
describe('a client at the other end of a tunnel', function () {
  this.timeout(60000)
  const cleanup = new Cleanup()
  let dir: string
  let host: PrivateHost
  let daemon: Libvirtd
  let broker: Broker

  /** The URI of a client whose tunnel ends on the broker's host in this command. */
  const through = async (argv: readonly string[], driver = 'test', path = '/default'): Promise<string> => {
    const script = join(dir, 'tunnel')
    await writeFile(script, `#!/bin/sh\nexec ${host.inside(argv).map(word => `'${word}'`).join(' ')}\n`)
    await chmod(script, 0o755)
    return `${driver}+ext://${path}?command=${script}`
  }

  before(async () => {
    host = await PrivateHost.start(cleanup)
    daemon = await Libvirtd.start(host, cleanup, { drivers: ['storage'] })
    // The host's /run/libvirt: the place where libvirt's tools look for libvirtd.
    const place = join(host.dir, 'run')
    broker = await Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`], unix_sock_dir: place })
    dir = await tempDir(cleanup)
  })

  after(() => cleanup.run())

  for (const { tool, command, readonly } of [
    {
      tool: 'nc',
      command: ['nc', '-U', '/var/run/libvirt/libvirt-sock'],
      readonly: ['nc', '-U', '/var/run/libvirt/libvirt-sock-ro']
    },
    {
      tool: 'nc -q0',
      command: ['nc', '-q0', '-U', '/var/run/libvirt/libvirt-sock'],
      readonly: ['nc', '-q0', '-U', '/var/run/libvirt/libvirt-sock-ro']
    },
    {
      tool: 'virt-ssh-helper',
      command: ['virt-ssh-helper', 'test:///default'],
      readonly: ['virt-ssh-helper', '-r', 'test:///default']
    }
  ]) {
    it(`of ${tool} sees what a local one sees`, async () => {
      const uri = await through(command)
      for (const line of ['list --all', 'capabilities', 'net-dumpxml default', 'dominfo nobody']) {
        expect(await virsh(uri, line), line).to.deep.equal(await virsh(daemon.uri('test', '/default'), line))
      }
    })

    it(`of ${tool} gets events, and can stay`, async () => {
      const watcher = await Watcher.start(cleanup, await through(command))
      await virshOk(broker.unixUri('test', '/default'), 'suspend test; resume test')
      await watcher.waitFor(notice => notice.event === 'resumed 0')
      expect(watcher.events('domain')).to.deep.equal(['test suspended 0', 'test resumed 0'])
      expect((await watcher.call('numOfDomains')).result).to.equal(1)
      await watcher.program.stop()
    })

    it(`of ${tool} for reading only may look and not touch`, async () => {
      const uri = await through(readonly)
      expect(await virshOk(uri, 'domstate test')).to.match(/running/)
      const { status, stderr } = await virsh(uri, 'suspend test')
      expect(status).to.equal(1)
      expect(stderr).to.contain('operation forbidden: read only access prevents virDomainSuspend')
    })
  }

  it('moves a volume both ways', async () => {
    const uri = await through(['nc', '-U', '/var/run/libvirt/libvirt-sock'], 'storage', '/system')
    const [original, fetched] = [join(dir, 'original'), join(dir, 'fetched')]
    await mustRun(['dd', 'if=/dev/urandom', `of=${original}`, 'bs=1M', 'count=16'])
    await virshOk(uri, `pool-create-as tunnelled dir --target ${dir}; vol-create-as tunnelled volume 16M`)
    await virshOk(uri, `vol-upload volume ${original} --pool tunnelled`)
    await virshOk(uri, `vol-download volume ${fetched} --pool tunnelled`)
    await mustRun(['cmp', original, fetched])
  })
})
