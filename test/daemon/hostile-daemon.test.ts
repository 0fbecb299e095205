import { expect } from 'chai'
import { MESSAGE, PROGRAM, STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { frame, ping } from '../support/frame-socket.js'
import { residentMiB } from '../support/process-state.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

describe('a hostile driver daemon', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('is not listened to when it refuses an open with megabytes of text', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 1 })
    const { pid } = stage.broker.program
    stage.driver.on(REMOTE.connectOpen, ({ prog, proc, serial }, daemon) => {
      const reply = { prog, proc, serial, type: MESSAGE.reply, status: STATUS.error }
      daemon.write(frame(reply, Buffer.alloc(2_000_000, 'x')))
      return undefined
    })
    const before = residentMiB(pid)
    for (let i = 0; i < 20; i++) {
      const client = await stage.connect()
      const { status, payload } = await client.open('qemu:///system')
      expect(status).to.equal(STATUS.error)
      expect(payload.toString('latin1')).to.match(/driver daemon broke the protocol: reply too long/)
    }
    expect(residentMiB(pid) - before).to.be.below(60)
  })

  it('is told once for each read that we live, however many pings are in it', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 1 })
    const { client, daemon } = await stage.open()
    daemon.answerPings = false
    daemon.write(Buffer.concat(Array.from({ length: 9000 }, () => ping())))
    await waitFor('a pong', () => daemon.take({ prog: PROGRAM.keepalive, type: MESSAGE.event, proc: 2 }))
    expect((await client.call(REMOTE.domainGetInfo)).status).to.equal(STATUS.ok)
    expect(daemon.inbox.filter(({ prog }) => prog === PROGRAM.keepalive).length).to.be.below(300)
  })
})
