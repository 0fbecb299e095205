import { execFileSync } from 'node:child_process'
import {
  chmodSync, chownSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { PrivateFiles } from '#workers/test-driver/private-files.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'

const UUID = Buffer.from('6695eb01f6a4830479aa97f2502e193f', 'hex')
const NOBODY = 65534
const domain = (): XdrWriter => new XdrWriter().string('test').fixed(UUID).i32(1)
const XML = '<domain type="test"><name>test</name><memory>1</memory><os><type>hvm</type></os></domain>'

type Answer = (client: RawClient, path: string) => Promise<{ code: number; int1: number; message: string } | undefined>

const calling =
  (proc: number, args: (path: string) => XdrWriter): Answer =>
    async (client, path) => {
      const reply = await client.call(proc, args(path).finish())
      return reply.status === STATUS.ok ? undefined : decodeError(reply.payload)
    }

/** Every call that names a file, what it says when it may not have it, and whether it writes. */
const CALLS: readonly (readonly [name: string, call: Answer, denied: string, writes: boolean])[] = [
  ['save', calling(REMOTE.domainSave, path => domain().string(path)), "saving domain 'test' to 'PATH': open failed", true],
  [
    'save with flags',
    calling(REMOTE.domainSaveFlags, path => domain().string(path).u32(0).u32(0)),
    "saving domain 'test' to 'PATH': open failed",
    true
  ],
  ['restore', calling(REMOTE.domainRestore, path => new XdrWriter().string(path)), "cannot read domain image 'PATH'", false],
  [
    'restore with flags',
    calling(REMOTE.domainRestoreFlags, path => new XdrWriter().string(path).u32(0).u32(0)),
    "cannot read domain image 'PATH'",
    false
  ],
  [
    'the description of an image',
    calling(REMOTE.domainSaveImageGetXmlDesc, path => new XdrWriter().string(path).u32(0)),
    "cannot read domain image 'PATH'",
    false
  ],
  [
    'a new description of an image',
    calling(REMOTE.domainSaveImageDefineXml, path => new XdrWriter().string(path).string(XML).u32(0)),
    "cannot read domain image 'PATH'",
    false
  ],
  [
    'a dump',
    calling(REMOTE.domainCoreDump, path => domain().string(path).u32(0)),
    "domain 'test' coredump: failed to open PATH",
    true
  ],
  [
    'a dump with a format',
    calling(REMOTE.domainCoreDumpWithFormat, path => domain().string(path).u32(0).u32(0)),
    "domain 'test' coredump: failed to open PATH",
    true
  ],
  [
    'the file of a host',
    async (client, path) => {
      const reply = await client.open(`test://${path}`)
      return reply.status === STATUS.ok ? undefined : decodeError(reply.payload)
    },
    "failed to open file 'PATH'",
    false
  ]
]
const HOST = 'the file of a host'

// As root without a user to become, so that nothing but the driver's own care is between a client and a file.
describe('the files that clients of the embedded test driver name', () => {
  const cleanup = new Cleanup()
  let broker: Broker
  let outside = ''
  before(async () => {
    outside = await tempDir(cleanup)
    broker = await Broker.start(cleanup, { embedded_test_driver: 1, embedded_test_driver_user: '' })
    mkdirSync(join(outside, 'folder'))
    writeFileSync(join(outside, 'there'), 'root alone may know', { mode: 0o600 })
    writeFileSync(join(outside, 'host.xml'), '<node/>')
    symlinkSync('there', join(outside, 'link'))
    execFileSync('mkfifo', [join(outside, 'pipe')])
  })
  after(() => cleanup.run())

  async function answers(call: Answer, path: string, name: string): Promise<Awaited<ReturnType<Answer>>> {
    const client = await RawClient.connect(cleanup, broker.socket)
    if (name !== HOST) expect((await client.open('test:///default')).status).to.equal(STATUS.ok)
    try {
      return await call(client, path)
    } finally {
      client.destroy()
    }
  }

  for (const [name, call, denied] of CALLS) {
    it(`are denied elsewhere in one way, whatever is there: ${name}`, async () => {
      const names = ['there', 'absent', 'absent/deeper', 'there/deeper', 'folder', 'link', 'pipe', 'host.xml']
      const paths = [...names.map(one => join(outside, one)), '/etc/shadow', '/proc/1/environ', '/dev/null', '/root']
      for (const path of paths) {
        const { code, int1, message } = (await answers(call, path, name))!
        const words = `${denied.replace('PATH', () => path)}: Permission denied`
        expect({ code, int1, message }).to.deep.equal({ code: 38, int1: 13, message: words })
      }
      expect(readdirSync(outside).sort()).to.deep.equal(['folder', 'host.xml', 'link', 'pipe', 'there'])
      expect(readFileSync(join(outside, 'there'), 'utf8')).to.equal('root alone may know')
    })
  }

  it('are denied elsewhere by any other way of saying where', async () => {
    const files = broker.testDriverFiles
    const other = `${files}-2`
    mkdirSync(other)
    for (const path of [`${files}/../x`, `${other}/x`, `${files}/a/../../x`, `/..${outside}/x`, '../x', 'a/../../x']) {
      for (const [name, call, , writes] of CALLS) {
        if (writes) expect((await answers(call, path, name))!.message, path).to.match(/: Permission denied$/)
      }
    }
    expect(existsSync(join(broker.dir, 'x'))).to.equal(false)
    expect(readdirSync(other)).to.deep.equal([])
    for (const uri of [`test://${files}/../broker.conf`, `test://${files}/%2e%2e/broker.conf`]) {
      const client = await RawClient.connect(cleanup, broker.socket)
      expect(decodeError((await client.open(uri)).payload).message).to.match(/: Permission denied$/)
    }
  })

  it('in the directory are not reached by links, and no pipe is waited for', async () => {
    const at = (name: string): string => join(broker.testDriverFiles, name)
    symlinkSync(join(outside, 'there'), at('link'))
    symlinkSync(join(outside, 'new'), at('link-to-nothing'))
    symlinkSync(outside, at('folder'))
    linkSync(join(outside, 'there'), at('hard'))
    linkSync(join(outside, 'host.xml'), at('hard.xml'))
    execFileSync('mkfifo', [at('pipe')])
    execFileSync('mknod', [at('zero'), 'c', '1', '5'])
    const refused = /(Too many levels of symbolic links|Not a directory|Permission denied)$/
    for (const path of ['link', 'link-to-nothing', 'folder/there', 'folder/new', 'hard', 'hard.xml', 'pipe', 'zero'].map(at)) {
      for (const [name, call] of CALLS) expect((await answers(call, path, name))!.message, name).to.match(refused)
    }
    expect(readFileSync(join(outside, 'there'), 'utf8')).to.equal('root alone may know')
    expect(existsSync(join(outside, 'new'))).to.equal(false)
  })

  it('cannot be named by the file of a host either, if they are elsewhere', async () => {
    const guest = join(outside, 'guest.xml')
    writeFileSync(guest, XML)
    for (const other of [guest, '../broker.conf', join(outside, 'absent.xml')]) {
      for (const element of ['domain', 'network', 'interface', 'pool', 'device']) {
        writeFileSync(join(broker.testDriverFiles, 'host.xml'), `<node><${element} file='${other}'/></node>`)
        const client = await RawClient.connect(cleanup, broker.socket)
        const { message } = decodeError((await client.open(`test://${broker.testDriverFiles}/host.xml`)).payload)
        expect(message, `${element} ${other}`).to.match(/^failed to open file '.*': Permission denied$/)
      }
    }
  })

  it('in the directory can be had, by full path and by name', async () => {
    const client = await RawClient.connect(cleanup, broker.socket)
    await client.open('test:///default')
    for (const path of [join(broker.testDriverFiles, 'saved'), 'by-name']) {
      expect((await client.call(REMOTE.domainSave, domain().string(path).finish())).status).to.equal(STATUS.ok)
      const restored = await client.call(REMOTE.domainRestore, new XdrWriter().string(path).finish())
      expect(restored.status).to.equal(STATUS.ok)
    }
    for (const name of ['saved', 'by-name']) {
      expect(readFileSync(join(broker.testDriverFiles, name), 'latin1')).to.match(/^TestGuestMagic\0/)
    }
    client.destroy()
    writeFileSync(join(broker.testDriverFiles, 'small.xml'), '<node><cpu><model>small</model></cpu></node>')
    const other = await RawClient.connect(cleanup, broker.socket)
    expect((await other.open(`test://${broker.testDriverFiles}/small.xml`)).status).to.equal(STATUS.ok)
  })

  it('are in a directory that is taken from nobody', async () => {
    const dir = join(await tempDir(cleanup), 'files')
    mkdirSync(dir)
    chmodSync(dir, 0o755)
    chownSync(dir, 1, 1)
    expect(() => new PrivateFiles(dir, NOBODY)).to.throw(/belongs to another user \(1\)/)
    expect([statSync(dir).uid, statSync(dir).mode & 0o777]).to.deep.equal([1, 0o755])
    chownSync(dir, NOBODY, NOBODY)
    const files = new PrivateFiles(dir, NOBODY)
    files.giveTo(0, 0)
    expect(statSync(dir).uid).to.equal(0)
    files.giveTo(NOBODY, NOBODY)
    expect(statSync(dir).uid).to.equal(NOBODY)
    files.close()
  })
})
