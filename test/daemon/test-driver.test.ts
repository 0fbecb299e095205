import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { ullongParam, stringParam, writeParams } from '#protocol/typed-params.js'
import { XdrReader, XdrWriter } from '#protocol/xdr.js'
import { startTestDriver } from '#workers/test-driver/main.js'
import { PrivateFiles } from '#workers/test-driver/private-files.js'
import { Cleanup } from '../support/cleanup.js'
import type { Frame } from '../support/frame-socket.js'
import { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'

const UUID = Buffer.from('6695eb01f6a4830479aa97f2502e193f', 'hex')
const domain = (uuid = UUID): XdrWriter => new XdrWriter().string('test').fixed(uuid).i32(1)
const text = (value: string): Buffer => new XdrWriter().string(value).finish()
/** Every test has a volume of its own, as clients of other tests may still be there and keep theirs. */
let volumes = 0
const name = (): string => `v${volumes}`
const volume = (): XdrWriter => new XdrWriter().string('default-pool').string(name()).string(`/default-pool/${name()}`)
const pool = (): XdrWriter =>
  new XdrWriter().string('default-pool').fixed(Buffer.from('dfe224cb28fb8dd0c4b264eb3f0f4566', 'hex'))

function refusal(frame: Frame): [code: number, domain: number, message: string] {
  expect(frame.status).to.equal(STATUS.error)
  const { code, domain: from, message } = decodeError(frame.payload)
  return [code, from, message]
}

function body(frame: Frame): XdrReader {
  if (frame.status !== STATUS.ok) throw new Error(decodeError(frame.payload).message)
  return new XdrReader(frame.payload)
}

describe('the embedded test driver', () => {
  const cleanup = new Cleanup()
  const failures: unknown[] = []
  let path = ''
  let files: PrivateFiles

  before(async () => {
    const dir = await tempDir(cleanup)
    path = join(dir, 'sock')
    files = new PrivateFiles(join(dir, 'files'))
    const driver = startTestDriver({ socketPath: path, files, onFailure: error => failures.push(error) })
    cleanup.defer(() => Promise.resolve(files.close()))
    cleanup.defer(() => Promise.resolve(driver.close()))
  })
  after(() => cleanup.run())
  afterEach(() => expect(failures.splice(0)).to.deep.equal([]))

  async function client(where = path, uri = 'test:///default', flags = 0): Promise<RawClient> {
    const made = await RawClient.connect(cleanup, where)
    body(await made.open(uri, flags))
    return made
  }

  describe('asked for nonsense', () => {
    const undecodable = [39, 7, 'Unable to decode message payload']

    it('refuses a name of 5 MB and lives', async () => {
      const one = await client()
      expect(refusal(await one.call(REMOTE.domainLookupByName, text('x'.repeat(5_000_000))))).to.deep.equal(undecodable)
      body(await one.call(REMOTE.domainLookupByName, text('test')))
    })

    it('says that there is no domain of a name of 4 MB', async () => {
      const one = await client()
      const reply = await one.call(REMOTE.domainLookupByName, text('x'.repeat(4_000_000)))
      expect(refusal(reply)).to.deep.equal([42, 12, 'Domain not found'])
    })

    it('refuses a UUID that is cut, and one that nobody has', async () => {
      const one = await client()
      const cut = await one.call(REMOTE.domainLookupByUuid, UUID.subarray(0, 12))
      expect(refusal(cut)).to.deep.equal(undecodable)
      const unknown = await one.call(REMOTE.domainGetInfo, domain(Buffer.alloc(16)).finish())
      const message = "Domain not found: no domain with matching uuid '00000000-0000-0000-0000-000000000000' (test)"
      expect(refusal(unknown)).to.deep.equal([42, 12, message])
    })

    it('lives through random arguments to every call', async () => {
      const random = (seed: number): Buffer =>
        Buffer.from(Array.from({ length: 64 }, (_, i) => (i % 4 === 3 ? (seed * 31 + i * 7) % 9 : 0)))
      const doors: number[] = [REMOTE.connectClose]
      for (const proc of Object.values(REMOTE)) {
        if (doors.includes(proc)) continue
        const one = await client()
        for (const payload of [Buffer.alloc(0), Buffer.alloc(256), Buffer.alloc(64, 0xff), random(proc)])
          await one.call(proc, payload)
        one.socket.destroy()
      }
      body(await (await client()).call(REMOTE.connectGetLibVersion))
    })

    it('refuses definitions that are no XML, too deep or too large', async () => {
      const one = await client()
      const define = async (xml: string): Promise<string> =>
        refusal(await one.call(REMOTE.domainDefineXml, text(xml)))[2]
      expect(await define('<a')).to.match(/^\(domain_definition\):1: /)
      expect(await define('<a>'.repeat(300) + '</a>'.repeat(300))).to.match(/Excessive depth/)
      expect(await define(`<domain>${' '.repeat(3_000_000)}</domain>`)).to.match(/too large/)
      expect(await define('<!DOCTYPE d [<!ENTITY a "aaaa">]><domain>&a;</domain>')).to.match(/Entity 'a' not defined/)
    })

    it('answers what it does not serve, does not know and cannot take as libvirt does', async () => {
      const one = await client()
      const unserved = await one.call(REMOTE.domainAttachDevice, domain().string('<x/>').finish())
      const not = 'this function is not supported by the connection driver:'
      expect(refusal(unserved)).to.deep.equal([3, 20, `${not} virDomainAttachDevice`])
      expect(refusal(await one.call(9999))).to.deep.equal([39, 7, 'unknown procedure: 9999'])
      expect(refusal(await one.call(REMOTE.domainEventLifecycle))).to.deep.equal([39, 7, 'unknown procedure: 107'])
      const admin = await one.call(1, undefined, { prog: PROGRAM.admin })
      expect(refusal(admin)).to.deep.equal([39, 7, `Cannot find program ${PROGRAM.admin} version 1`])
      const status = await one.call(3, undefined, { status: 7 })
      expect(refusal(status)).to.deep.equal([39, 7, 'Unexpected message status 7'])
    })
  })

  describe('opening', () => {
    it('refuses what is not of the scheme test, and lets the client try again', async () => {
      const one = await RawClient.connect(cleanup, path)
      const none = (uri: string): [number, number, string] => [5, 0, `no connection driver available for ${uri}`]
      expect(refusal(await one.open('qemu:///system'))).to.deep.equal(none('qemu:///system'))
      expect(refusal(await one.open(undefined))).to.deep.equal(none('<null>'))
      expect(refusal(await one.open('test:///%zz'))).to.deep.equal(none('test:///%zz'))
      expect(refusal(await one.open('test:///'))[2]).to.match(/supply a path or use test:\/\/\/default$/)
      expect(refusal(await one.call(REMOTE.domainGetInfo, domain().finish()))[2]).to.match(
        /hypervisor connection not open$/
      )
      body(await one.open('test:///default'))
      expect(refusal(await one.open('test:///default'))[2]).to.equal('internal error: connection already open')
    })

    it('makes clients of the -ro socket, and those that ask for it, read-only', async () => {
      for (const one of [await client(`${path}-ro`), await client(path, 'test:///default', 1)]) {
        body(await one.call(REMOTE.domainGetInfo, domain().finish()))
        const refused = refusal(await one.call(REMOTE.domainDestroy, domain().finish()))
        expect(refused).to.deep.equal([29, 20, 'operation forbidden: read only access prevents virDomainDestroy'])
        const secure = await one.call(REMOTE.domainGetXmlDesc, domain().u32(1).finish())
        expect(refusal(secure)[2]).to.equal('operation forbidden: virDomainGetXMLDesc with secure flag')
      }
    })

    it('takes the identity of a client behind a broker', async () => {
      const one = await client()
      const identity = new XdrWriter()
      writeParams(identity, [stringParam('user-name', 'ann'), ullongParam('unix-user-id', 1000)]).u32(0)
      body(await one.call(REMOTE.connectSetIdentity, identity.finish()))
      const odd = writeParams(new XdrWriter(), [stringParam('shoe-size', '9')]).u32(0)
      const message = "argument unsupported: parameter 'shoe-size' not supported"
      expect(refusal(await one.call(REMOTE.connectSetIdentity, odd.finish()))).to.deep.equal([74, 0, message])
    })

    it('builds the host of a file, each client its own', async () => {
      const dir = files.directory
      await writeFile(
        join(dir, 'node.xml'),
        `<node><cpu><mhz>6000</mhz><model>one</model><nodes>1</nodes><sockets>1</sockets>
        <cores>3</cores><threads>1</threads>
        </cpu><memory>1234</memory><domain file='guest.xml'/>
        <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>off</name><memory>8</memory>
        <os><type>hvm</type></os><test:runstate>5</test:runstate><test:hasmanagedsave/></domain>
        <pool type='dir'><name>p</name><target><path>/p</path></target>
        <volume><name>a</name><capacity>5</capacity></volume></pool>
        </node>`
      )
      await writeFile(
        join(dir, 'guest.xml'),
        '<domain type="test"><name>guest</name><memory>9</memory><os><type>hvm</type></os></domain>'
      )
      const uri = `test://${join(dir, 'node.xml')}`
      const [one, two] = [await client(path, uri), await client(path, uri)]
      const info = body(await one.call(REMOTE.nodeGetInfo))
      for (let i = 0; i < 32; i++) info.i32()
      expect([info.u64(), info.i32(), info.i32()]).to.deep.equal([1234n, 3, 6000])
      const guest = body(await one.call(REMOTE.domainLookupByName, text('guest')))
      const ref = new XdrWriter().string(guest.string()).fixed(guest.uuid()).i32(guest.i32()).finish()
      const off = body(await one.call(REMOTE.connectListDefinedDomains, new XdrWriter().i32(9).finish()))
      expect(off.array(9, xdr => xdr.string())).to.deep.equal(['off'])
      body(await one.call(REMOTE.domainDestroy, ref))
      expect(body(await one.call(REMOTE.connectNumOfDomains)).i32()).to.equal(0)
      expect(body(await two.call(REMOTE.connectNumOfDomains)).i32()).to.equal(1)
      expect(body(await two.call(REMOTE.storageVolLookupByPath, text('/p/a'))).string()).to.equal('p')
      const missing = refusal(await (await RawClient.connect(cleanup, path)).open(`test://${dir}/none.xml`))
      expect(missing).to.deep.equal([38, 5, `failed to open file '${dir}/none.xml': No such file or directory`])
    })
  })

  describe('opening a file of 3,000 domains', () => {
    const domainXml = (i: number): string => `  <domain type='test'>
    <name>guest-${i}</name>
    <memory unit='KiB'>1048576</memory>
    <vcpu>2</vcpu>
    <os><type>hvm</type></os>
    <devices>
      <disk type='file' device='disk'><source file='/guest/${i}'/><target dev='vda' bus='virtio'/></disk>
      <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/></interface>
      <console type='pty'/><graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>
    </devices>
  </domain>`
    const COUNT = 3000
    /** The machine may be busy. */
    const PATIENCE_MS = 50_000
    const uri = (name: string): string => `test://${join(files.directory, name)}.xml`
    const numberOf = async (one: RawClient): Promise<number> => body(await one.call(REMOTE.connectNumOfDomains)).i32()

    before(async () => {
      const domains = Array.from({ length: COUNT }, (_, i) => domainXml(i))
      await writeFile(join(files.directory, 'large.xml'), `<node>\n${domains.join('\n')}\n</node>\n`)
      domains[COUNT / 2] = '  <domain type="test"><name>no</name></domain>'
      await writeFile(join(files.directory, 'wrong.xml'), `<node>\n${domains.join('\n')}\n</node>\n`)
      domains[COUNT / 2] = '  <domain><name></domain>'
      await writeFile(join(files.directory, 'broken.xml'), `<node>\n${domains.join('\n')}\n</node>\n`)
    })

    /** The answer to CONNECT_OPEN. */
    function opening(one: RawClient, name = 'large'): Promise<Frame> {
      const serial = one.post(REMOTE.connectOpen, encodeOpen({ name: uri(name), flags: 0 }))
      return one.next({ serial }, PATIENCE_MS)
    }

    /** How many calls of somebody else are answered until `over`. */
    async function answersUntil(over: Promise<unknown>): Promise<number> {
      const bystander = await client()
      let done = false
      void over.finally(() => (done = true)).catch(() => undefined)
      let answers = 0
      for (; !done; answers++) body(await bystander.call(REMOTE.domainGetInfo, domain().finish()))
      return answers
    }

    it('lets others have their answers meanwhile', async () => {
      const one = await RawClient.connect(cleanup, path)
      const opened = opening(one)
      expect(await answersUntil(opened)).to.be.above(20)
      body(await opened)
      expect(await numberOf(one)).to.equal(COUNT)
    })

    it('gives each of several clients its own', async () => {
      const [one, two] = [await RawClient.connect(cleanup, path), await RawClient.connect(cleanup, path)]
      const all = Promise.all([opening(one), opening(two)])
      expect(await answersUntil(all)).to.be.above(40)
      for (const reply of await all) body(reply)
      const guest = body(await one.call(REMOTE.domainLookupByName, text('guest-2999')))
      body(await one.call(REMOTE.domainDestroy, new XdrWriter().string(guest.string()).fixed(guest.uuid()).i32(guest.i32()).finish()))
      expect([await numberOf(one), await numberOf(two)]).to.deep.equal([COUNT - 1, COUNT])
    })

    it("serves the opener's further calls afterwards, in their order", async () => {
      const one = await RawClient.connect(cleanup, path)
      const open = encodeOpen({ name: uri('large'), flags: 0 })
      const serials = [
        one.post(REMOTE.connectOpen, open),
        one.post(REMOTE.connectNumOfDomains),
        one.post(REMOTE.connectOpen, open),
        one.post(REMOTE.connectClose)
      ]
      const replies = [await one.next({}, PATIENCE_MS), await one.next(), await one.next(), await one.next()]
      expect(replies.map(({ serial }) => serial)).to.deep.equal(serials)
      expect(body(replies[1]!).i32()).to.equal(COUNT)
      expect(refusal(replies[2]!)[2]).to.equal('internal error: connection already open')
      await one.end()
    })

    it('fails at what is wrong in the middle, and leaves the client as it was', async () => {
      const one = await RawClient.connect(cleanup, path)
      const wrong = refusal(await opening(one, 'wrong'))[2]
      expect(wrong).to.equal('XML error: an os <type> must be specified')
      const broken = refusal(await opening(one, 'broken'))[2]
      expect(broken).to.match(/^\(broken.xml\):16502: Opening and ending tag mismatch: name line 1 and domain\n {2}<domain>/)
      body(await one.open('test:///default'))
      expect(await numberOf(one)).to.equal(1)
    })

    it('stops when nobody waits for it any more', async () => {
      const one = await RawClient.connect(cleanup, path)
      one.post(REMOTE.connectOpen, encodeOpen({ name: uri('large'), flags: 0 }))
      one.destroy()
      const other = await client()
      expect(await numberOf(other)).to.equal(1)
    })
  })

  describe('streams', () => {
    async function withVolume(capacity: number): Promise<RawClient> {
      const one = await client()
      volumes++
      const xml = `<volume><name>${name()}</name><capacity>${capacity}</capacity></volume>`
      body(await one.call(REMOTE.storageVolCreateXml, pool().string(xml).u32(0).finish()))
      return one
    }
    const span = (offset: number, length: number, flags = 0): Buffer =>
      volume().u64(BigInt(offset)).u64(BigInt(length)).u32(flags).finish()
    const stream = { type: MESSAGE.stream }

    async function download(one: RawClient, offset: number, length: number, flags = 0): Promise<(Buffer | bigint)[]> {
      const serial = one.post(REMOTE.storageVolDownload, span(offset, length, flags))
      body(await one.next({ type: MESSAGE.reply, serial }))
      const parts: (Buffer | bigint)[] = []
      for (;;) {
        const frame = await one.next({ serial })
        if (frame.type === MESSAGE.streamHole) parts.push(new XdrReader(frame.payload).i64())
        else if (frame.payload.length > 0) parts.push(frame.payload)
        else break
      }
      one.send({ ...stream, proc: REMOTE.storageVolDownload, serial })
      expect((await one.next({ ...stream, serial })).status).to.equal(STATUS.ok)
      return parts
    }

    it('carry what is uploaded back, from any place', async () => {
      const one = await withVolume(600_000)
      const bytes = Buffer.from(Array.from({ length: 400_001 }, (_, i) => (i * 7) % 251))
      const serial = one.post(REMOTE.storageVolUpload, span(100, 0))
      body(await one.next({ type: MESSAGE.reply, serial }))
      const packet = { ...stream, proc: REMOTE.storageVolUpload, serial, status: STATUS.continue }
      for (let at = 0; at < bytes.length; at += 100_003) one.send(packet, bytes.subarray(at, at + 100_003))
      one.send({ ...packet, status: STATUS.ok })
      expect((await one.next({ ...stream, serial })).status).to.equal(STATUS.ok)
      expect(Buffer.concat((await download(one, 100, 400_001)) as Buffer[]).equals(bytes)).to.be.true
      expect(Buffer.concat((await download(one, 0, 0)) as Buffer[])).to.have.length(600_000)
    })

    it('keep holes as holes', async () => {
      const one = await withVolume(1024 * 1024)
      const serial = one.post(REMOTE.storageVolUpload, span(0, 0, 1))
      const packet = { ...stream, proc: REMOTE.storageVolUpload, serial, status: STATUS.continue }
      one.send({ ...packet, type: MESSAGE.streamHole }, new XdrWriter().i64(524_288n).u32(0).finish())
      one.send(packet, Buffer.alloc(65_536, 1))
      one.send({ ...packet, status: STATUS.ok })
      await one.next({ ...stream, serial })
      const parts = await download(one, 0, 0, 1)
      expect(parts.map(part => (typeof part === 'bigint' ? Number(part) : part.length))).to.deep.equal([
        524_288, 65_536, 458_752
      ])
    })

    it('break when the volume is full', async () => {
      const one = await withVolume(10)
      const serial = one.post(REMOTE.storageVolUpload, span(0, 0))
      one.send({ ...stream, proc: REMOTE.storageVolUpload, serial, status: STATUS.continue }, Buffer.alloc(11))
      const broken = decodeError((await one.next({ ...stream, serial })).payload)
      expect([broken.code, broken.int1, broken.message]).to.deep.equal([
        38,
        28,
        'cannot write to stream: No space left on device'
      ])
    })

    it('of a console say what they are told', async () => {
      const one = await client()
      const serial = one.post(REMOTE.domainOpenConsole, domain().u32(0).u32(0).finish())
      body(await one.next({ type: MESSAGE.reply, serial }))
      one.send({ ...stream, proc: REMOTE.domainOpenConsole, serial, status: STATUS.continue }, Buffer.from('hello'))
      expect((await one.next({ ...stream, serial })).payload.toString()).to.equal('hello')
      one.send({ ...stream, proc: REMOTE.domainOpenConsole, serial, status: STATUS.error })
      expect((await one.next({ ...stream, serial })).status).to.equal(STATUS.ok)
    })

    it('with a hole that was not agreed upon end the connection', async () => {
      const one = await withVolume(100)
      const serial = one.post(REMOTE.storageVolUpload, span(0, 0))
      const hole = { type: MESSAGE.streamHole, proc: REMOTE.storageVolUpload, serial, status: STATUS.continue }
      one.send(hole, new XdrWriter().i64(5n).u32(0).finish())
      await one.end()
    })
  })

  describe('events', () => {
    it('come in the old form to those who registered in the old way, and after the reply', async () => {
      const one = await client()
      body(await one.call(REMOTE.connectDomainEventRegister))
      const serial = one.post(REMOTE.domainSuspend, domain().finish())
      expect((await one.next()).serial).to.equal(serial)
      const event = await one.next({ type: MESSAGE.event })
      expect([event.proc, event.serial]).to.deep.equal([REMOTE.domainEventLifecycle, 1])
      const xdr = new XdrReader(event.payload)
      expect([xdr.string(), xdr.uuid().equals(UUID), xdr.i32(), xdr.i32(), xdr.i32()]).to.deep.equal([
        'test',
        true,
        1,
        3,
        0
      ])
      body(await one.call(REMOTE.connectDomainEventDeregister))
      expect(refusal(await one.call(REMOTE.connectDomainEventDeregister))[2]).to.match(/not registered$/)
    })

    it('tell of secrets', async () => {
      const one = await client()
      const register = (event: number): Buffer => new XdrWriter().i32(event).u32(0).finish()
      const ids = [0, 1].map(async event =>
        body(await one.call(REMOTE.connectSecretEventRegisterAny, register(event))).i32()
      )
      const [first, second] = await Promise.all(ids)
      expect(second).to.equal(first! + 1)
      const define = await one.call(
        REMOTE.secretDefineXml,
        new XdrWriter().string("<secret ephemeral='yes'/>").u32(0).finish()
      )
      const uuid = body(define).uuid()
      const ref = (): XdrWriter => new XdrWriter().fixed(uuid).i32(0).string('')
      body(await one.call(REMOTE.secretSetValue, ref().opaque(Buffer.from('s')).u32(0).finish()))
      expect(
        body(await one.call(REMOTE.secretGetValue, ref().u32(0).finish()))
          .opaque(9)
          .toString()
      ).to.equal('s')
      body(await one.call(REMOTE.secretUndefine, ref().finish()))
      const procs = [await one.next(), await one.next(), await one.next()].map(frame => frame.proc)
      const { secretEventLifecycle: life, secretEventValueChanged: changed } = REMOTE
      expect(procs).to.deep.equal([life, changed, life])
    })
  })

  it('answers a ping with a pong', async () => {
    const one = await client()
    one.answerPings = false
    one.send({ prog: PROGRAM.keepalive, proc: 1, type: MESSAGE.event, serial: 5 })
    const pong = await one.next({ prog: PROGRAM.keepalive })
    expect([pong.proc, pong.type, pong.serial]).to.deep.equal([2, MESSAGE.event, 0])
  })

  it('closes after CONNECT_CLOSE, when the answer is out', async () => {
    const one = await client()
    body(await one.call(REMOTE.connectClose))
    await one.end()
  })
})
