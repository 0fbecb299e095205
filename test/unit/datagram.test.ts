import { expect } from 'chai'
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { EMSGSIZE, UnixDatagramSender } from '#workers/os/datagram.js'
import { DatagramReceiver } from '../support/datagram-receiver.js'

const { EAGAIN, ECONNREFUSED, ENOENT } = constants.errno

describe('datagrams to UNIX sockets', () => {
  let dir: string
  let path: string
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'virtbroker-datagram-'))
    path = join(dir, 'socket')
  })
  after(() => rmSync(dir, { recursive: true }))

  const send = (sender: UnixDatagramSender, text: string): number => sender.send(Buffer.from(text))

  it('arrive whole and in order', () => {
    const receiver = new DatagramReceiver(path)
    const sender = new UnixDatagramSender(path)
    expect([send(sender, 'one'), send(sender, 'two')]).to.deep.equal([0, 0])
    expect([receiver.receive(), receiver.receive(), receiver.receive()]).to.deep.equal(['one', 'two', undefined])
    sender.close()
    receiver.close()
  })

  it('reach abstract names', () => {
    const receiver = new DatagramReceiver(`@virtbroker-test-${process.pid}`)
    const sender = new UnixDatagramSender(receiver.path)
    expect(send(sender, 'one')).to.equal(0)
    expect(receiver.receive()).to.equal('one')
    sender.close()
    receiver.close()
  })

  it('tell when nobody is there, and arrive again once somebody is', () => {
    const sender = new UnixDatagramSender(path)
    expect(send(sender, 'lost')).to.equal(ENOENT)
    const first = new DatagramReceiver(path)
    expect(send(sender, 'one')).to.equal(0)
    first.close()
    expect(send(sender, 'lost')).to.be.oneOf([ENOENT, ECONNREFUSED])
    const second = new DatagramReceiver(path)
    expect(send(sender, 'two')).to.equal(0)
    expect(second.receive()).to.equal('two')
    sender.close()
    second.close()
  })

  it('do not wait for a receiver that does not read', () => {
    const receiver = new DatagramReceiver(path)
    const sender = new UnixDatagramSender(path)
    let code = 0
    for (let i = 0; i < 10_000 && code === 0; i++) code = send(sender, 'x'.repeat(1000))
    expect(code).to.equal(EAGAIN)
    receiver.receive()
    expect(send(sender, 'x')).to.equal(0)
    sender.close()
    receiver.close()
  })

  it('tell when they are too large', () => {
    const receiver = new DatagramReceiver(path)
    const sender = new UnixDatagramSender(path)
    expect(send(sender, 'x'.repeat(4 * 1024 * 1024))).to.equal(EMSGSIZE)
    expect(send(sender, 'x')).to.equal(0)
    sender.close()
    receiver.close()
  })

  it('cannot be sent to a path that does not fit an address', () => {
    expect(() => new UnixDatagramSender('x'.repeat(108))).to.throw(RangeError)
    expect(() => new UnixDatagramSender('')).to.throw(RangeError)
  })
})
