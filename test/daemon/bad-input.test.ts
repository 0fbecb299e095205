import { expect } from 'chai'
import { MESSAGE, PROGRAM, STATUS, type Header } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { internalErrorPayload, rpcErrorPayload } from '../support/error-payload.js'
import { frame, ping } from '../support/frame-socket.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { hex } from '../support/hex.js'

describe('bad input from a client', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  /** Another client, which nothing of all this may disturb. */
  let bystander: RawClient

  before(async () => {
    stage = await Stage.start(cleanup)
    bystander = (await stage.open(stage.broker.socket)).client
  })

  after(() => cleanup.run())

  afterEach(async () => {
    const { payload } = await bystander.call(REMOTE.connectGetLibVersion, hex('01020304'))
    expect(payload, 'what the bystander gets').to.deep.equal(hex('01020304'))
  })

  /** The next frame must answer this header: same program, version, procedure and serial. */
  async function expectError(client: RawClient, sent: Partial<Header>, payload: Buffer): Promise<void> {
    const reply = await client.next()
    const { prog = PROGRAM.remote, vers = 1, proc = 0, serial = 0 } = sent
    expect(reply).to.include({ prog, vers, proc, serial, type: MESSAGE.reply, status: STATUS.error })
    expect(reply.payload).to.deep.equal(payload)
  }

  /** The connection is as good as before: it answers a call. */
  async function expectAlive(client: RawClient): Promise<void> {
    const reply = await client.call(REMOTE.authList, undefined, { serial: 0x7001 })
    expect(reply.payload).to.deep.equal(hex('00000001 00000000'))
    expect(client.inbox).to.be.empty
  }

  describe('a frame whose length cannot be', () => {
    for (const length of [0, 3, 4, 27, 33_554_437, 0xffffffff]) {
      it(`(${length}) ends the connection without an answer, before the rest has come`, async () => {
        const client = await stage.connect()
        const word = Buffer.alloc(4)
        word.writeUInt32BE(length)
        client.write(word)
        await client.end()
        expect(client.received).to.equal(0)
      })
    }

    it('ends an open connection, and the one to its driver daemon', async () => {
      const { client, daemon } = await stage.open()
      client.write(hex('0000001b'))
      await client.end()
      await daemon.end()
    })

    it('leaves room for the longest frame that is legal', async () => {
      const { client, daemon } = await stage.open()
      stage.driver.on(REMOTE.domainDefineXml, call => hex(call.bytes.length.toString(16).padStart(8, '0')))
      const reply = await client.call(REMOTE.domainDefineXml, Buffer.alloc(33_554_436 - 28, 7))
      expect(reply.payload).to.deep.equal(hex('02000004'))
      client.destroy()
      await daemon.end()
    })
  })

  const unknownPrograms: [string, Partial<Header>, string][] = [
    ['an unknown program', { prog: 0x12345678 }, 'Cannot find program 305419896 version 1'],
    ['an unknown program above 2^31', { prog: 0xfedcba98 }, 'Cannot find program 4275878552 version 1'],
    ['another version of a known program', { vers: 2 }, 'Cannot find program 536903814 version 2'],
    ['another version of the qemu program', { prog: PROGRAM.qemu, vers: 0 }, 'Cannot find program 536903815 version 0'],
    ['the admin program', { prog: PROGRAM.admin }, 'Cannot find program 110102160 version 1'],
    ['the keepalive program', { prog: PROGRAM.keepalive }, 'Cannot find program 1801807216 version 1']
  ]

  describe('a call to', () => {
    for (const [what, header, message] of unknownPrograms) {
      it(`${what} is answered with "${message}"`, async () => {
        const client = await stage.connect()
        const sent = { proc: 1, serial: 99, ...header }
        client.send(sent, Buffer.alloc(100))
        await expectError(client, sent, rpcErrorPayload(message))
        await expectAlive(client)
      })
    }

    for (const proc of [0, -1, 9999, -2147483648, 2147483647]) {
      it(`procedure ${proc} is answered with "unknown procedure" before the connection is open`, async () => {
        const client = await stage.connect()
        client.send({ proc, serial: 5 })
        await expectError(client, { proc, serial: 5 }, rpcErrorPayload(`unknown procedure: ${proc}`))
        await expectAlive(client)
      })
    }

    it('an unknown procedure of the qemu and lxc programs is answered in the same way', async () => {
      const client = await stage.connect()
      for (const prog of [PROGRAM.qemu, PROGRAM.lxc]) {
        client.send({ prog, proc: 77, serial: 5 })
        await expectError(client, { prog, proc: 77, serial: 5 }, rpcErrorPayload('unknown procedure: 77'))
      }
    })

    it("an event's number is answered with \"unknown procedure\"", async () => {
      const client = await stage.connect()
      client.send({ proc: 318, serial: 5 })
      await expectError(client, { proc: 318, serial: 5 }, rpcErrorPayload('unknown procedure: 318'))
    })
  })

  describe('a call with another status than OK', () => {
    for (const status of [1, 2, 7]) {
      it(`(${status}) is answered with "Unexpected message status"`, async () => {
        const client = await stage.connect()
        client.send({ proc: REMOTE.authList, serial: 3, status })
        await expectError(client, { proc: REMOTE.authList, serial: 3 }, rpcErrorPayload(`Unexpected message status ${status}`))
        await expectAlive(client)
      })
    }

    it('is not passed on when the connection is open', async () => {
      const { client, daemon } = await stage.open()
      client.send({ proc: REMOTE.connectGetLibVersion, serial: 3, status: 1 })
      const sent = { proc: REMOTE.connectGetLibVersion, serial: 3 }
      await expectError(client, sent, rpcErrorPayload('Unexpected message status 1'))
      expect(daemon.serialsOf(REMOTE.connectGetLibVersion)).to.be.empty
    })
  })

  describe('arguments that do not decode', () => {
    const bodies: [string, number, Buffer][] = [
      ['CONNECT_OPEN without arguments', REMOTE.connectOpen, hex('')],
      ['CONNECT_OPEN whose name is cut', REMOTE.connectOpen, hex('00000001 00000010 71656d75')],
      ['CONNECT_OPEN with a name longer than a string may be', REMOTE.connectOpen, hex('00000001 00400001 71656d75 00000000')],
      ['CONNECT_OPEN without flags', REMOTE.connectOpen, hex('00000000')],
      ['CONNECT_SUPPORTS_FEATURE without a feature', REMOTE.connectSupportsFeature, hex('')],
      ['CONNECT_OPEN with far too many bytes', REMOTE.connectOpen, Buffer.alloc(6_000_000)]
    ]
    for (const [what, proc, body] of bodies) {
      it(`(${what}) are answered with "Unable to decode message payload"`, async () => {
        const client = await stage.connect()
        client.send({ proc, serial: 8 }, body)
        await expectError(client, { proc, serial: 8 }, rpcErrorPayload('Unable to decode message payload'))
        await expectAlive(client)
      })
    }

    it('do no harm when there are too many bytes of them', async () => {
      const client = await stage.connect()
      const reply = await client.call(REMOTE.connectSupportsFeature, hex('0000000a deadbeef deadbeef 01'))
      expect(reply.payload).to.deep.equal(hex('00000001'))
    })
  })

  describe('what a client has no business to send', () => {
    const frames: [string, Buffer][] = [
      ['a reply', frame({ type: MESSAGE.reply, proc: 1, serial: 4 })],
      ['a reply with descriptors', frame({ type: MESSAGE.replyWithFds, proc: 1, serial: 4 }, hex('00000000'))],
      ['an event', frame({ type: MESSAGE.event, proc: 318, serial: 4 }, Buffer.alloc(40))],
      ['an event of an unknown program', frame({ type: MESSAGE.event, prog: 0x1234, proc: 318 })],
      ['stream data for no stream', frame({ type: MESSAGE.stream, proc: 208, serial: 4, status: 2 }, Buffer.alloc(5000))],
      ['the end of no stream', frame({ type: MESSAGE.stream, proc: 208, serial: 4 })],
      ['a hole in no stream', frame({ type: MESSAGE.streamHole, proc: 208, serial: 4, status: 2 }, Buffer.alloc(12))],
      ['a frame of an unknown type', frame({ type: 7, proc: 1, serial: 4 }, Buffer.alloc(100))],
      ['a frame of a negative type', frame({ type: 0xffffffff, proc: 1, serial: 4 })],
      ['a keepalive message of an unknown kind', frame({ prog: PROGRAM.keepalive, type: MESSAGE.event, proc: 3 })]
    ]
    for (const [what, bytes] of frames) {
      it(`(${what}) is dropped without a word, open or not`, async () => {
        const client = await stage.connect()
        client.write(bytes)
        await expectAlive(client)
        const { client: open, daemon } = await stage.open()
        open.write(bytes)
        await expectAlive(open)
        expect(daemon.inbox).to.be.empty
      })
    }
  })

  describe('a call with file descriptors', () => {
    it('of which there are none is a call like any other', async () => {
      const client = await stage.connect()
      client.send({ type: MESSAGE.callWithFds, proc: REMOTE.connectSupportsFeature, serial: 2 }, hex('00000000 0000000a'))
      const reply = await client.next({ serial: 2 })
      expect(reply).to.include({ type: MESSAGE.reply, status: STATUS.ok })
      expect(reply.payload).to.deep.equal(hex('00000001'))
    })

    it('reaches the daemon as it is when it announces none', async () => {
      const { client } = await stage.open()
      client.send({ type: MESSAGE.callWithFds, proc: REMOTE.domainOpenGraphics, serial: 2 }, hex('00000000 0000abcd'))
      const { call, daemon } = await stage.driver.taken({ type: MESSAGE.callWithFds })
      expect(call.payload).to.deep.equal(hex('00000000 0000abcd'))
      daemon.reply(call)
      expect(await client.next()).to.include({ serial: 2, status: STATUS.ok })
    })

    it('that announces some over TCP ends the connection', async () => {
      const { client, daemon } = await stage.open()
      client.send({ type: MESSAGE.callWithFds, proc: REMOTE.domainOpenGraphics, serial: 2 }, hex('00000001 0000abcd'))
      await client.end()
      await daemon.end()
      expect(daemon.inbox).to.be.empty
    })
  })

  describe('a ping', () => {
    it('is answered before anything else is said, and by a pong that carries no serial', async () => {
      const client = await stage.connect()
      client.answerPings = false
      client.write(frame({ prog: PROGRAM.keepalive, type: MESSAGE.event, proc: 1, serial: 5 }, Buffer.alloc(8)))
      const { bytes } = await client.next()
      expect(bytes).to.deep.equal(hex('0000001c 6b656570 00000001 00000002 00000002 00000000 00000000'))
    })

    it('may come in single bytes', async () => {
      const client = await stage.connect()
      client.answerPings = false
      for (const byte of ping()) {
        client.write(Buffer.from([byte]))
        await new Promise(setImmediate)
      }
      expect(await client.next()).to.include({ prog: PROGRAM.keepalive, proc: 2 })
    })
  })

  describe('errors on the wire', () => {
    it('have all the fields that virtproxyd sends', async () => {
      const client = await stage.connect()
      client.send({ proc: REMOTE.connectGetLibVersion, serial: 1 })
      await expectError(
        client,
        { proc: REMOTE.connectGetLibVersion, serial: 1 },
        internalErrorPayload('hypervisor connection not open')
      )
      client.send({ proc: 5000, serial: 2 })
      const { bytes } = await client.next()
      expect(bytes).to.deep.equal(
        hex(
          `00000088 20008086 00000001 00001388 00000001 00000002 00000001
           00000027 00000007 00000001 00000017 756e6b6e6f776e2070726f6365647572653a203530303000 00000002 00000000
           00000001 00000002 25730000 00000001 00000017 756e6b6e6f776e2070726f6365647572653a203530303000
           00000000 ffffffff ffffffff 00000000`
        )
      )
    })
  })
})
