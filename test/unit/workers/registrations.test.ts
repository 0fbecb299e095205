import { expect } from 'chai'
import { HEADER_BYTES, MESSAGE, PROGRAM } from '#protocol/header.js'
import { encodeCallbackId } from '#protocol/messages/events.js'
import { REMOTE } from '#protocol/procedures.js'
import { Registrations } from '#workers/session/registrations.js'
import { frame } from '../../support/frame-socket.js'
import { encodeDomain, registrationArgs } from '../../support/event-daemon.js'

const {
  connectDomainEventRegister: OLDEST, connectDomainEventDeregister: OLDEST_OFF, connectDomainEventRegisterAny: OLDER,
  connectDomainEventDeregisterAny: OLDER_OFF, connectDomainEventCallbackRegisterAny: ON, connectDomainEventCallbackDeregisterAny: OFF,
  connectNetworkEventRegisterAny: NETWORK
} = REMOTE
const NOTHING = Buffer.alloc(0)
const number = encodeCallbackId
const domain = encodeDomain('07'.repeat(16))

describe('registrations that are kept to be made again', () => {
  let registrations: Registrations
  let serial: number
  beforeEach(() => {
    registrations = new Registrations()
    serial = 0
  })

  /** A call that registers or deregisters, which the daemon answers with `body`. */
  function carriedOut(proc: number, args: Buffer = NOTHING, body: Buffer = NOTHING): void {
    serial++
    registrations.asked(PROGRAM.remote, proc, serial, frame({ proc, serial }, args))
    registrations.answered(serial, true, frame({ proc, serial, type: MESSAGE.reply }, body))
  }

  /** What a restarted daemon would be asked for. */
  async function again(): Promise<string[]> {
    const asked: string[] = []
    await registrations.askAgain((_, proc, args) => {
      asked.push(`${proc} ${args.toString('hex')}`)
      return Promise.resolve(number(0))
    })
    return asked
  }

  for (const [off, args] of [[OLDEST_OFF, NOTHING], [OLDER_OFF, number(0)]] as const) {
    it(`are forgotten in the older way (${off}) by the first for that event, in whatever way it was made`, async () => {
      carriedOut(NETWORK, registrationArgs(0), number(0))
      carriedOut(ON, registrationArgs(1), number(0))
      carriedOut(ON, registrationArgs(0, domain), number(1))
      carriedOut(OLDEST, NOTHING, number(0))
      carriedOut(OLDER, number(2))
      carriedOut(off, args)
      const kept = [
        `${NETWORK} ${registrationArgs(0).toString('hex')}`, `${ON} ${registrationArgs(1).toString('hex')}`, `${OLDEST} `,
        `${OLDER} 00000002`
      ]
      expect(await again()).to.deep.equal(kept)
      carriedOut(off, args)
      carriedOut(off, args)
      expect(await again()).to.deep.equal(kept.filter(one => !one.startsWith(`${OLDEST} `)))
    })
  }

  it('are forgotten by the id that the client knows, which is told in the words of the daemon', async () => {
    carriedOut(ON, registrationArgs(0), number(3))
    carriedOut(NETWORK, registrationArgs(0), number(3))
    registrations.renewed(await registrations.askAgain((_, proc) => Promise.resolve(number(proc === ON ? 7 : 8))), () => undefined)
    const call = frame({ proc: OFF, serial: 9 }, number(3))
    registrations.asked(PROGRAM.remote, OFF, 9, call)
    expect(call.readInt32BE(HEADER_BYTES)).to.equal(7)
    registrations.answered(9, true, frame({ proc: OFF, serial: 9, type: MESSAGE.reply }))
    expect(await again()).to.deep.equal([`${NETWORK} ${registrationArgs(0).toString('hex')}`])
  })
})
