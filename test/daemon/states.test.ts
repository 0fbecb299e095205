import { expect } from 'chai'
import { authenticationRequired, internalError, templated } from '#protocol/errors.js'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { encodeSetIdentity } from '#protocol/identity.js'
import { decodeText, encodeFeature, encodeSupported } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { writeParams, stringParam } from '#protocol/typed-params.js'
import { XdrWriter } from '#protocol/xdr.js'
import { Cleanup } from '../support/cleanup.js'
import type { DriverConnection } from '../support/fake-driver.js'
import { errorPayload, internalErrorPayload, rpcErrorPayload } from '../support/error-payload.js'
import { frame } from '../support/frame-socket.js'
import { hex } from '../support/hex.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

describe('a client that has not opened a connection', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => (stage = await Stage.start(cleanup)))
  after(() => cleanup.run())

  it('is told that there is nothing to log in for', async () => {
    const client = await stage.connect()
    expect((await client.call(REMOTE.authList)).bytes).to.deep.equal(
      hex('00000024 20008086 00000001 00000042 00000001 00000000 00000000 00000001 00000000')
    )
  })

  for (const [what, prog, proc] of [
    ['a call of the hypervisor', PROGRAM.remote, REMOTE.connectListAllDomains],
    ['a stream call of the hypervisor', PROGRAM.remote, REMOTE.domainScreenshot],
    ['registering a close callback', PROGRAM.remote, REMOTE.connectRegisterCloseCallback],
    ['asking for the URI', PROGRAM.remote, REMOTE.connectGetUri],
    ['a call of the qemu program', PROGRAM.qemu, 1]
  ] as const) {
    it(`gets "hypervisor connection not open" for ${what}`, async () => {
      const client = await stage.connect()
      const { payload, status } = await client.call(proc, Buffer.alloc(64), { prog })
      expect(status).to.equal(STATUS.error)
      expect(payload).to.deep.equal(internalErrorPayload('hypervisor connection not open'))
    })
  }

  for (const [what, proc] of [
    ['networks', REMOTE.connectListAllNetworks],
    ['storage', REMOTE.connectListAllStoragePools],
    ['a volume to download', REMOTE.storageVolDownload],
    ['node devices', REMOTE.connectListAllNodeDevices],
    ['secrets', REMOTE.connectListAllSecrets]
  ] as const) {
    it(`gets "connection not open" for ${what}`, async () => {
      const client = await stage.connect()
      const { payload } = await client.call(proc, Buffer.alloc(64))
      expect(payload).to.deep.equal(internalErrorPayload('connection not open'))
    })
  }

  it('may ask for keepalive, and for no other feature', async () => {
    const client = await stage.connect()
    expect((await client.call(REMOTE.connectSupportsFeature, encodeFeature(10))).payload).to.deep.equal(hex('00000001'))
    for (const feature of [8, 14, 15, 1]) {
      const { payload } = await client.call(REMOTE.connectSupportsFeature, encodeFeature(feature))
      expect(payload).to.deep.equal(internalErrorPayload('hypervisor connection not open'))
    }
  })

  it('is refused when it authenticates by a method that the socket does not use', async () => {
    const client = await stage.connect()
    for (const proc of [REMOTE.authPolkit, REMOTE.authSaslInit]) {
      const { payload } = await client.call(proc)
      expect(payload).to.deep.equal(
        errorPayload({
          code: 45,
          domain: 7,
          message: 'authentication failed: authentication failed',
          str1: 'authentication failed: %1$s',
          str2: 'authentication failed'
        })
      )
    }
  })

  it('may close, and is closed when the answer is out', async () => {
    const client = await stage.connect()
    expect((await client.call(REMOTE.connectClose)).status).to.equal(STATUS.ok)
    await client.end()
  })

  it('gets "hypervisor connection not open" for a call sent behind an OPEN that is not answered yet', async () => {
    const client = await stage.connect()
    client.write(
      frame({ proc: REMOTE.connectOpen, serial: 1 }, hex('00000001 0000000e 71656d753a2f2f2f73797374656d0000 00000000')),
      frame({ proc: REMOTE.connectGetLibVersion, serial: 2 })
    )
    const { payload } = await client.next({ serial: 2 })
    expect(payload).to.deep.equal(internalErrorPayload('hypervisor connection not open'))
    expect((await client.next({ serial: 1 })).status).to.equal(STATUS.ok)
  })
})

describe('opening a connection', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  // Nobody else has the name open.
  beforeEach(async () => (stage = await Stage.start(cleanup)))
  afterEach(() => cleanup.run())

  it('makes these calls to the driver daemon, the identity last, before the client is answered', async () => {
    const { daemon } = await stage.open()
    const { connectOpen, connectSetIdentity } = REMOTE
    expect(daemon.calls.map(call => call.proc)).to.deep.equal([connectOpen, connectSetIdentity])
    expect(daemon.calls[0]!.payload, 'name and flags').to.deep.equal(
      hex('00000001 0000000e 71656d75 3a2f2f2f 73797374 656d0000 00000000')
    )
  })

  it('is answered only after the daemon has taken the identity', async () => {
    const client = await stage.connect()
    stage.driver.on(REMOTE.connectSetIdentity, () => undefined)
    const connected = stage.driver.nextConnection()
    const opened = client.open('qemu:///system')
    const daemon = await connected
    const call = await daemon.next({ proc: REMOTE.connectSetIdentity })
    await client.call(REMOTE.authList)
    expect(client.take({ proc: REMOTE.connectOpen })).to.equal(undefined)
    daemon.reply(call)
    expect((await opened).status).to.equal(STATUS.ok)
    stage.driver.on(REMOTE.connectSetIdentity, () => Buffer.alloc(0))
  })

  it('twice is refused and does no harm', async () => {
    const { client, daemon } = await stage.open()
    const second = await client.open('qemu:///system')
    expect(second.payload).to.deep.equal(internalErrorPayload('connection already open'))
    expect((await client.call(REMOTE.connectGetLibVersion, hex('00000001'))).payload).to.deep.equal(hex('00000001'))
    expect(daemon.serialsOf(REMOTE.connectOpen)).to.have.length(1)
  })

  it('passes on what the daemon says against it, and can be tried again', async () => {
    const client = await stage.connect()
    const no = templated(1, 10, 'internal error: %1$s', "Unexpected driver type 'TEST' opened")
    stage.driver.on(REMOTE.connectOpen, () => no)
    const connected = stage.driver.nextConnection()
    const refused = await client.open('qemu:///system')
    expect(refused.payload).to.deep.equal(
      errorPayload({ code: 1, domain: 10, message: no.message, str1: no.str1!, str2: no.str2! })
    )
    await (await connected).end()
    stage.driver.on(REMOTE.connectOpen, () => Buffer.alloc(0))
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    expect((await client.call(REMOTE.connectGetLibVersion)).status).to.equal(STATUS.ok)
  })

  it('fails when the daemon refuses the identity', async () => {
    const client = await stage.connect()
    stage.driver.on(REMOTE.connectSetIdentity, () => internalError('no such user'))
    const refused = await client.open('qemu:///system')
    stage.driver.on(REMOTE.connectSetIdentity, () => Buffer.alloc(0))
    expect(refused.payload).to.deep.equal(internalErrorPayload('no such user'))
    expect((await client.call(REMOTE.connectGetLibVersion)).status).to.equal(STATUS.error)
  })

  it('fails, and can be tried again, when the daemon talks nonsense', async () => {
    const client = await stage.connect()
    stage.driver.on(REMOTE.connectOpen, (_call, daemon) => void daemon.write(hex('00000003')))
    const refused = await client.open('qemu:///system')
    expect(refused.payload).to.deep.equal(rpcErrorPayload('driver daemon broke the protocol: frame of 3 bytes'))
    stage.driver.on(REMOTE.connectOpen, () => Buffer.alloc(0))
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
  })

  it('fails, and can be tried again, when the daemon is lost in the moment in which all is done', async () => {
    const client = await stage.connect()
    stage.driver.on(REMOTE.connectSetIdentity, ({ prog, proc, serial }, daemon) => {
      const reply = frame({ prog, proc, serial, type: MESSAGE.reply })
      // The second one is a reply to no call.
      daemon.write(reply, reply)
      return undefined
    })
    expect((await client.open('qemu:///system')).payload).to.deep.equal(internalErrorPayload('client socket is closed'))
    stage.driver.on(REMOTE.connectSetIdentity, () => Buffer.alloc(0))
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    expect((await client.call(REMOTE.domainGetInfo, hex('01'))).payload).to.deep.equal(hex('01'))
  })

  it('is given up when the client leaves meanwhile', async () => {
    const client = await stage.connect()
    stage.driver.on(REMOTE.connectOpen, () => undefined)
    const connected = stage.driver.nextConnection()
    client.open('qemu:///system').catch(() => undefined)
    const daemon = await connected
    await daemon.next({ proc: REMOTE.connectOpen })
    client.destroy()
    await daemon.end()
    stage.driver.on(REMOTE.connectOpen, () => Buffer.alloc(0))
  })
})

describe('a daemon that wants authentication', () => {
  const cleanup = new Cleanup()
  const { authList, authPolkit, connectOpen, connectSetIdentity } = REMOTE
  let stage: Stage
  /** As libvirtd does it: nothing but AUTH_LIST is served before the client is in. */
  let admitted: (daemon: DriverConnection) => boolean
  beforeEach(async () => {
    stage = await Stage.start(cleanup, { actor_threads: 1 })
    stage.driver.on(connectOpen, (_call, daemon) => (admitted(daemon) ? Buffer.alloc(0) : authenticationRequired()))
  })
  afterEach(() => cleanup.run())

  it('and lets root in when it is asked, is asked; from the second client on before it refuses', async () => {
    admitted = daemon => daemon.serialsOf(authList).length > 0
    const first = await stage.open()
    expect(first.daemon.calls.map(call => call.proc)).to.deep.equal([
      connectOpen,
      authList,
      connectOpen,
      connectSetIdentity
    ])
    const second = await stage.open(stage.broker.socket)
    expect(second.daemon.calls.map(call => call.proc)).to.deep.equal([authList, connectOpen, connectSetIdentity])
  })

  it('by polkit gets its AUTH_POLKIT', async () => {
    admitted = daemon => daemon.serialsOf(authPolkit).length > 0
    stage.driver.on(authList, () => hex('00000001 00000002')).on(authPolkit, () => hex('00000001'))
    const { daemon } = await stage.open()
    expect(daemon.calls.map(call => call.proc)).to.deep.equal([
      connectOpen,
      authList,
      authPolkit,
      connectOpen,
      connectSetIdentity
    ])
  })

  it('by SASL, for which a broker has no credentials, makes CONNECT_OPEN fail', async () => {
    admitted = () => false
    stage.driver.on(authList, () => hex('00000001 00000001'))
    const refused = await (await stage.connect()).open('qemu:///system')
    expect(refused.status).to.equal(STATUS.error)
    expect(refused.payload.readInt32BE(0)).to.equal(45)
  })

  it('and sends a list that cannot be decoded makes CONNECT_OPEN fail', async () => {
    admitted = () => false
    stage.driver.on(authList, () => hex('00000001'))
    const { payload } = await (await stage.connect()).open('qemu:///system')
    expect(payload).to.deep.equal(rpcErrorPayload('driver daemon sent a reply that cannot be decoded'))
  })
})

describe('a daemon that never answers', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => (stage = await Stage.start(cleanup, { driver_open_timeout: 1 })))
  after(() => cleanup.run())

  it('makes CONNECT_OPEN fail after driver_open_timeout', async () => {
    const client = await stage.connect()
    stage.driver.on(REMOTE.connectOpen, () => undefined)
    const { payload } = await client.open('qemu:///system')
    const what = `The driver daemon at '${stage.driver.path}' did not open the connection within 1 s`
    const message = `${what} (driver_open_timeout): Connection timed out`
    expect(payload).to.deep.equal(errorPayload({ code: 38, domain: 7, message, str1: '%s', str2: message, int1: 110 }))
    stage.driver.on(REMOTE.connectOpen, () => Buffer.alloc(0))
    // This machine may take as long once more.
    await waitFor('the connection', async () => (await client.open('qemu:///system')).status === STATUS.ok)
  })
})

describe('an open connection', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => (stage = await Stage.start(cleanup, { close_timeout: 1 })))
  after(() => cleanup.run())

  it('has the features 10, 14 and 15 of the broker, and the others of the daemon', async () => {
    const { client, daemon } = await stage.open()
    stage.driver.on(REMOTE.connectSupportsFeature, call => encodeSupported(call.payload.readInt32BE(0) === 4))
    const answers = []
    for (const feature of [10, 14, 15, 4, 6, 99]) {
      const { payload } = await client.call(REMOTE.connectSupportsFeature, encodeFeature(feature))
      answers.push(payload.readInt32BE(0))
    }
    expect(answers).to.deep.equal([1, 1, 1, 1, 0, 0])
    const asked = daemon.calls.filter(call => call.proc === REMOTE.connectSupportsFeature)
    expect(asked.map(call => call.payload.readInt32BE(0))).to.deep.equal([4, 6, 99])
    stage.driver.on(REMOTE.connectSupportsFeature, () => encodeSupported(true))
  })

  it('cannot pass descriptors over TCP, and says so', async () => {
    const { client } = await stage.open()
    const { payload } = await client.call(REMOTE.connectSupportsFeature, encodeFeature(8))
    expect(payload).to.deep.equal(hex('00000000'))
  })

  it('tells the URI that was opened, without asking the daemon', async () => {
    const { client, daemon } = await stage.open()
    const { payload } = await client.call(REMOTE.connectGetUri)
    expect(decodeText(payload)).to.equal('qemu:///system')
    expect(daemon.serialsOf(REMOTE.connectGetUri)).to.be.empty
  })

  it("keeps a client's CONNECT_SET_IDENTITY to itself", async () => {
    const { client, daemon } = await stage.open()
    const reply = await client.call(REMOTE.connectSetIdentity, encodeSetIdentity({ userName: 'root', userId: 0 }))
    expect(reply).to.include({ status: STATUS.ok })
    expect(daemon.serialsOf(REMOTE.connectSetIdentity)).to.have.length(1)
  })

  it('refuses fields of an identity that it does not know', async () => {
    const { client } = await stage.open()
    const body = writeParams(new XdrWriter(), [stringParam('bogus-key', 'x')]).u32(0).finish()
    const { payload } = await client.call(REMOTE.connectSetIdentity, body)
    expect(payload).to.deep.equal(
      errorPayload({
        code: 74,
        domain: 0,
        message: "argument unsupported: parameter 'bogus-key' not supported",
        str1: 'argument unsupported: %1$s',
        str2: "parameter 'bogus-key' not supported"
      })
    )
  })

  it('is closed after the answer to CONNECT_CLOSE, calls that still run after close_timeout or no', async () => {
    const { client, daemon } = await stage.open(stage.broker.socket)
    stage.driver.otherwise = () => undefined
    client.post(REMOTE.connectGetLibVersion)
    await daemon.next({ proc: REMOTE.connectGetLibVersion })
    expect((await client.call(REMOTE.connectClose)).status).to.equal(STATUS.ok)
    await client.end()
    await daemon.end()
    expect(client.inbox).to.be.empty
    stage.driver.otherwise = call => call.payload
  })

  it('gives out all that is queued before it is closed', async () => {
    const { client, daemon } = await stage.open(stage.broker.socket)
    client.stall()
    stage.driver.on(REMOTE.domainGetXmlDesc, () => Buffer.alloc(4_000_000, 1))
    client.post(REMOTE.domainGetXmlDesc)
    client.post(REMOTE.connectClose)
    // Whatever has not left the daemon when the client asks to close is abandoned, except a frame that has begun.
    await client.untilRead()
    client.goOn()
    await client.end()
    const [first, ...others] = client.inbox
    const whole = first?.proc === REMOTE.domainGetXmlDesc ? others : client.inbox
    expect(whole.map(({ proc, type }) => ({ proc, type }))).to.deep.equal([
      { proc: REMOTE.connectClose, type: MESSAGE.reply }
    ])
    await daemon.end()
  })

  it('is given up by the daemon when the client just leaves', async () => {
    const { client, daemon } = await stage.open(stage.broker.socket)
    client.destroy()
    await daemon.end()
  })
})
