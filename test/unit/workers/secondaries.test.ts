import { expect } from 'chai'
import { driverClosed } from '#protocol/broker-errors.js'
import { CODE, DOMAIN, errorReply, internalError, RemoteError, rpcError, systemError, undecodable } from '#protocol/errors.js'
import { HEADER_BYTES, MESSAGE, readHeader, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { losesSecondary } from '#workers/driver/secondaries.js'
import { frame } from '../../support/frame-socket.js'

const NETWORK = REMOTE.networkLookupByName
const call = (proc: number) => readHeader(frame({ proc, serial: 7 }))

/** Not at the beginning of what has come. */
function loses(error: RemoteError, proc: number = NETWORK): boolean {
  const before = Buffer.alloc(10, 0xff)
  return losesSecondary(Buffer.concat([before, errorReply(call(proc), error)]), before.length)
}

describe('the loss of a daemon that a driver daemon needs', () => {
  it('is told of by the error of calls that need it', () => {
    expect(loses(driverClosed())).to.equal(true)
    expect(loses(driverClosed(), REMOTE.storagePoolRefresh)).to.equal(true)
    expect(loses(driverClosed(), REMOTE.domainGetInfo)).to.equal(false)
  })

  it('is told of in another language by what nobody knows, but never by another code or domain', () => {
    const says = (message: string, code: number = CODE.internalError, domain: number = DOMAIN.rpc): boolean =>
      loses(new RemoteError(code, domain, message))
    expect(says('Interner Fehler: Client-Socket ist geschlossen')).to.equal(true)
    expect(says('Interner Fehler: Client-Socket ist geschlossen', CODE.rpc)).to.equal(false)
    expect(says('internal error: client socket is closed', CODE.internalError, DOMAIN.network)).to.equal(false)
  })

  it('is told of neither by what a client has done wrong, nor by what could not be opened', () => {
    const errors = [
      undecodable(), internalError('unsupported network event ID 999'), internalError('maxnames > REMOTE_NETWORK_NAME_LIST_MAX'),
      internalError('client socket is closed now'), internalError('client socket is CLOSED'), rpcError('client socket is closed'),
      systemError(2, 'Failed to connect socket to \'/run/libvirt/virtnetworkd-sock\': No such file or directory')
    ]
    for (const error of errors) expect(loses(error), error.message).to.equal(false)
  })

  it('is told of by no reply that is none, or ends before it says so', () => {
    const reply = (status: number, payload: Buffer): Buffer => frame({ proc: NETWORK, serial: 7, type: MESSAGE.reply, status }, payload)
    const payload = driverClosed().encoded
    expect(losesSecondary(reply(STATUS.ok, payload), 0)).to.equal(false)
    for (let length = 0; length < 16; length++) {
      const cut = Buffer.concat([reply(STATUS.error, payload.subarray(0, length)), payload])
      expect(losesSecondary(cut, 0), `${length} bytes of ${HEADER_BYTES + length}`).to.equal(false)
    }
  })
})
