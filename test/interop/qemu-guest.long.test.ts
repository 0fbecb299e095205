import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { AuditLines, deed } from '../support/audit-lines.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { commandOk, startPython, virsh, virshOk } from '../support/clients.js'
import { guestXml } from '../support/guest.js'
import { Libvirtd, startVirtlogd } from '../support/libvirtd.js'
import { PrivateHost } from '../support/private-host.js'
import { printed, type Program } from '../support/processes.js'
import { tempDir } from '../support/temp-dir.js'

const escapeKey = '\x1b'
const leaveConsole = '\x1d'

for (const route of ['TCP', 'UNIX'] as const) {
  describe(`a QEMU guest managed through the broker over ${route}`, function () {
    this.timeout(60000)
    const cleanup = new Cleanup()
    const uuid = '33333333-aaaa-4aaa-8aaa-000000000001'
    let dir: string
    let uri: string
    let lines: AuditLines
    let opened = 0

    const state = async (): Promise<string> => (await virshOk(uri, 'domstate tiny --reason')).trim()

    /** `virsh console` as a person runs it, at a terminal. */
    const startConsole = (options = ''): Program => {
      const program = startPython('under_pty.py', 'virsh', '-c', uri, `console tiny ${options}`)
      cleanup.defer(() => program.stop())
      return program
    }

    /** One that has the console: it says so before. */
    const openConsole = async (options = ''): Promise<Program> => {
      const program = startConsole(options)
      await printed(program, /Escape character is/)
      await lines.until('the console', record => deed(record) === 'DOMAIN_OPEN_CONSOLE tiny done', ++opened)
      return program
    }

    before(async () => {
      const host = await PrivateHost.start(cleanup)
      await startVirtlogd(host, cleanup)
      const daemon = await Libvirtd.start(host, cleanup)
      dir = await tempDir(cleanup)
      lines = new AuditLines(join(dir, 'audit.json'))
      const broker = await Broker.start(cleanup, { driver_sockets: [`*=${daemon.socket}`], audit_output: `file:${lines.path}` })
      uri = route === 'TCP' ? broker.tcpUri('qemu', '/system') : broker.unixUri('qemu', '/system')
      await writeFile(join(dir, 'tiny.xml'), guestXml('tiny', uuid))
    })

    after(() => cleanup.run())

    it('is defined and started', async () => {
      await virshOk(uri, `define ${dir}/tiny.xml; start tiny`)
      expect(await state()).to.equal('running (booted)')
    })

    it('shows its firmware on the console and takes keys from there', async () => {
      // Nothing that the firmware says is missed if it only begins when the console is there.
      await virshOk(uri, 'destroy tiny; start tiny --paused')
      const console = await openConsole()
      await virshOk(uri, 'resume tiny')
      await printed(console, new RegExp(`Machine UUID ${uuid}`))
      await printed(console, /Press ESC for boot menu/)
      console.child.stdin.write(escapeKey)
      await printed(console, /Select boot device/)
      console.child.stdin.write(leaveConsole)
      expect(await console.exited).to.deep.equal({ status: 0, signal: null })
    })

    it('has one console session at a time, and lets a newcomer take it over by force', async () => {
      const first = await openConsole()
      const second = startConsole()
      expect((await second.exited).status).to.equal(1)
      expect(second.stdout).to.contain('Active console session exists for this domain')
      const third = await openConsole('--force')
      await first.exited
      third.child.stdin.write(leaveConsole)
      expect((await third.exited).status).to.equal(0)
    })

    it('is suspended and resumed', async () => {
      await virshOk(uri, 'suspend tiny')
      expect(await state()).to.equal('paused (user)')
      await virshOk(uri, 'resume tiny')
      expect(await state()).to.equal('running (unpaused)')
    })

    it('gives a picture of its screen', async () => {
      const said = await virshOk(uri, `screenshot tiny ${dir}/screen`)
      const picture = await readFile(join(dir, 'screen'))
      if (said.includes('image/png')) {
        expect(picture.subarray(0, 8).toString('latin1')).to.equal('\x89PNG\r\n\x1a\n')
        expect(picture.subarray(12, 16).toString('latin1')).to.equal('IHDR')
        expect(picture.readUInt32BE(16), 'width').to.be.oneOf([640, 720])
        expect(picture.subarray(-8, -4).toString('latin1'), 'whole to its end').to.equal('IEND')
      } else {
        // Older releases of QEMU draw portable pixmaps: three bytes a pixel after a short header.
        const [header, width, height] = /^P6\n(\d+) (\d+)\n255\n/.exec(picture.subarray(0, 20).toString('latin1')) ?? []
        expect(picture.length).to.equal((header ?? '').length + 3 * Number(width) * Number(height))
      }
    })

    it('is saved to a file and restored from it', async () => {
      await commandOk(uri, `save tiny ${dir}/tiny.save`)
      expect(await state()).to.equal('shut off (saved)')
      await virshOk(uri, `restore ${dir}/tiny.save`)
      expect(await state()).to.equal('running (restored)')
    })

    it('still has a working console after that', async () => {
      const console = await openConsole()
      await virshOk(uri, 'reset tiny')
      await printed(console, /Press ESC for boot menu/)
      console.child.stdin.write(leaveConsole)
      expect((await console.exited).status).to.equal(0)
    })

    it('has its console closed when it is destroyed', async () => {
      const console = await openConsole()
      await virshOk(uri, 'reset tiny')
      await printed(console, /Press ESC for boot menu/)
      expect(console.ended).to.equal(false)
      await virshOk(uri, 'destroy tiny')
      await console.exited
      expect(await state()).to.equal('shut off (destroyed)')
    })

    it('is undefined', async () => {
      await virshOk(uri, 'undefine tiny')
      const { status, stderr } = await virsh(uri, 'dominfo tiny')
      expect(status).to.equal(1)
      expect(stderr).to.contain("failed to get domain 'tiny'")
    })
  })
}
