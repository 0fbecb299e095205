import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { expect } from 'chai'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { encodeFeature } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { llongParam, readParams, stringParam, ullongParam, type TypedParam } from '#protocol/typed-params.js'
import { XdrReader } from '#protocol/xdr.js'
import { connectAs, openToAll, USER } from '../support/as-user.js'
import { Cleanup } from '../support/cleanup.js'
import { rpcErrorPayload } from '../support/error-payload.js'
import type { Frame } from '../support/frame-socket.js'
import { hex } from '../support/hex.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'

/** Start time of this process in clock ticks, as the kernel tells it. */
const startTime = (): number => Number(readFileSync('/proc/self/stat', 'latin1').split(') ').at(-1)!.split(' ')[19])

describe('the identity of a client, as its driver daemon hears it,', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => {
    stage = await Stage.start(cleanup, { unix_sock_rw_perms: '0777' })
    await openToAll(stage.broker.dir)
  })
  after(() => cleanup.run())

  async function heard(client: RawClient): Promise<{ call: Frame; params: TypedParam[] }> {
    const connected = stage.driver.nextConnection()
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
    const call = (await connected).calls.find(({ proc }) => proc === REMOTE.connectSetIdentity)!
    const xdr = new XdrReader(call.payload)
    const params = readParams(xdr, 20)
    expect(xdr.u32(), 'flags').to.equal(0)
    expect(xdr.left).to.equal(0)
    return { call, params }
  }

  it('is user, group and process over a UNIX socket, in this order', async () => {
    const { params } = await heard(await stage.connect(stage.broker.socket))
    const known = params.filter(({ field }) => field !== 'selinux-context')
    expect(known).to.deep.equal([
      stringParam('user-name', userInfo().username),
      ullongParam('unix-user-id', process.getuid!()),
      stringParam('group-name', 'root'),
      ullongParam('unix-group-id', process.getgid!()),
      llongParam('process-id', process.pid),
      ullongParam('process-time', startTime())
    ])
  })

  it('is that of the user who connected, and not the broker\'s', async () => {
    const { params } = await heard(await connectAs(cleanup, USER.nobody, stage.broker.socket))
    expect(params.slice(0, 2)).to.deep.equal([stringParam('user-name', 'nobody'), ullongParam('unix-user-id', 65534)])
  })

  it('is nothing over TCP, which is said all the same', async () => {
    const { call } = await heard(await stage.connect())
    expect(call.payload).to.deep.equal(hex('00000000 00000000'))
  })

  describe('of a user without a name', () => {
    let client: RawClient
    before(async () => (client = await connectAs(cleanup, 4242, stage.broker.socket)))

    for (const [what, proc, prog] of [
      ['asking for the methods of authentication', REMOTE.authList, PROGRAM.remote],
      ['opening', REMOTE.connectOpen, PROGRAM.remote],
      ['a call of the hypervisor', REMOTE.domainGetInfo, PROGRAM.remote],
      ['a call of the qemu program', 1, PROGRAM.qemu]
    ] as const) {
      it(`makes ${what} fail with "Failed to find user record"`, async () => {
        const { status, payload } = await client.call(proc, undefined, { prog })
        expect(status).to.equal(STATUS.error)
        expect(payload.readInt32BE(0), 'code').to.equal(38)
        expect(payload.includes("Failed to find user record for uid '4242'")).to.equal(true)
      })
    }

    it('does not hide that a procedure is unknown, and pings are answered', async () => {
      expect((await client.call(9999)).payload).to.deep.equal(rpcErrorPayload('unknown procedure: 9999'))
      client.answerPings = false
      client.send({ prog: PROGRAM.keepalive, proc: 1, type: MESSAGE.event })
      expect(await client.next()).to.include({ prog: PROGRAM.keepalive, proc: 2 })
    })
  })
})

describe('a client that has not authenticated', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  before(async () => (stage = await Stage.start(cleanup, { auth_unix_rw: 'polkit' })))
  after(() => cleanup.run())

  for (const [what, proc, prog] of [
    ['opening', REMOTE.connectOpen, PROGRAM.remote],
    ['closing', REMOTE.connectClose, PROGRAM.remote],
    ['asking for keepalive', REMOTE.connectSupportsFeature, PROGRAM.remote],
    ['a call of the hypervisor', REMOTE.domainGetInfo, PROGRAM.remote],
    ['a stream call', REMOTE.storageVolDownload, PROGRAM.remote],
    ['a call of the qemu program', 1, PROGRAM.qemu],
    ['a call of the lxc program', 1, PROGRAM.lxc]
  ] as const) {
    it(`gets "authentication required" for ${what}`, async () => {
      const client = await stage.connect(stage.broker.socket)
      const { payload } = await client.call(proc, encodeFeature(10), { prog })
      expect(payload).to.deep.equal(rpcErrorPayload('authentication required'))
    })
  }

  it('hears that an unknown procedure is unknown', async () => {
    const client = await stage.connect(stage.broker.socket)
    expect((await client.call(5000)).payload).to.deep.equal(rpcErrorPayload('unknown procedure: 5000'))
  })

  it('is let in by asking for the list, if it is root', async () => {
    const client = await stage.connect(stage.broker.socket)
    expect((await client.call(REMOTE.authList)).payload).to.deep.equal(hex('00000001 00000000'))
    expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
  })

  it('is closed after login_timeout', async () => {
    const own = await Stage.start(cleanup, { auth_unix_rw: 'polkit', login_timeout: 2 })
    const start = performance.now()
    await (await own.connect(own.broker.socket)).end()
    // By default it would be a minute, and it is given up sooner.
    expect(performance.now() - start).to.be.above(1800)
  })
})
