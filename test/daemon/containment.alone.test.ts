import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { encodeFeature } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { frame } from '../support/frame-socket.js'
import { pattern } from '../support/pattern.js'
import { printed, Program } from '../support/processes.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const FAULTY_PROCEDURE = 7777
const FLOODS = 12
const SAMPLES = 500
const closer = new URL('../support/closer.js', import.meta.url)
const faults = new URL('../support/fault-injector.js', import.meta.url).href
const killer = new URL('../support/thread-killer.js', import.meta.url).href

for (const driver_sharing of ['identity', 'off']) {
  describe(`a mistake in the broker, driver_sharing = ${driver_sharing},`, () => {
    const cleanup = new Cleanup()
    let stage: Stage
    let neighbours: RawClient[]
    before(async () => {
      const conf = { driver_sharing, actor_threads: 1, keepalive_interval: 1, keepalive_count: 1 }
      stage = await Stage.start(cleanup, conf, { nodeOptions: ['--import', faults] })
      neighbours = [(await stage.open()).client, (await stage.open(stage.broker.socket)).client]
    })
    after(() => cleanup.run())

    async function expectNeighboursServed(): Promise<void> {
      for (const neighbour of neighbours) {
        expect((await neighbour.call(REMOTE.domainGetXmlDesc, pattern(20))).payload).to.deep.equal(pattern(20))
      }
      expect(stage.broker.program.stderr).to.not.match(/actor thread died/)
    }

    it('in the handling of a call costs this one client its connection', async () => {
      const { client, daemon } = await stage.open()
      client.post(FAULTY_PROCEDURE)
      await client.end()
      // The neighbours go on with one that they share.
      if (driver_sharing === 'off') await daemon.end()
      await waitFor('a line in the log', () => /unexpected failure: Error: a mistake in a handler/.test(stage.broker.program.stderr))
      await expectNeighboursServed()
    })

    it('in a timer does, too', async () => {
      const { client } = await stage.open()
      client.answerPings = false
      await client.call(REMOTE.connectSupportsFeature, encodeFeature(10))
      await client.end()
      await waitFor('a line in the log', () => /unexpected failure: Error: a mistake in a timer/.test(stage.broker.program.stderr))
      await expectNeighboursServed()
    })
  })
}

describe('the supervisor', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('takes and refuses connections while all actor threads are busy', async () => {
    const conf = { actor_threads: 2, max_clients_per_address: 1, log_level: 1 }
    const stage = await Stage.start(cleanup, conf, { nodeOptions: ['--import', killer] })
    await stage.probesForgotten()
    const { client } = await stage.open()
    process.kill(stage.broker.program.pid, 'SIGURG')
    await waitFor('all threads to hang', () => stage.broker.program.stderr.split('a thread hangs').length > 2)
    let busy = true
    const held = client.call(REMOTE.domainGetInfo).finally(() => (busy = false))
    for (let i = 0; i < 20; i++) await (await stage.connect()).end()
    expect(busy, 'the threads are still busy').to.equal(true)
    process.kill(stage.broker.program.pid, 'SIGURG')
    expect((await held).status).to.equal(STATUS.ok)
  })

  it('does so at once while they are flooded with calls: hardly one of a hundred waits 50 ms for it', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 2, max_clients_per_address: 1, log_level: 1 })
    await stage.probesForgotten()
    const { client } = await stage.open()
    // Closes whatever comes, and has nothing else to do: who waits for that waits for the machine.
    const other = new Program([process.execPath, fileURLToPath(closer)])
    cleanup.defer(() => other.stop())
    const otherPort = Number((await printed(other, /^(\d+)\n/))[1])
    const unknown = Buffer.concat(Array.from({ length: 20_000 }, () => frame({ prog: 99 })))
    let answers = 0
    for (let i = 0; i < FLOODS; i++) {
      const { socket } = (await stage.open(stage.broker.socket)).client
      // Not parsed: the test must have less to do than the broker.
      socket.removeAllListeners('data').on('data', ({ length }) => (answers += length))
      const again = (): void => void (socket.destroyed || socket.write(unknown, again))
      again()
    }
    await waitFor('the first answers', () => answers > 1_000_000)
    const late = { broker: 0, other: 0 }
    const isLate = async (port: number): Promise<boolean> => {
      const began = performance.now()
      await once(connect({ host: '127.0.0.1', port }).resume(), 'close')
      return performance.now() - began > 50
    }
    for (let i = 0; i < SAMPLES; i++) {
      const before = answers
      if (await isLate(stage.broker.tcpPort)) late.broker++
      if (await isLate(otherPort)) late.other++
      await waitFor('more answers', () => answers > before)
    }
    expect(late.broker, `late of ${SAMPLES}`).to.be.at.most(SAMPLES / 100 + 2 * late.other)
    expect((await client.call(REMOTE.domainGetInfo)).status).to.equal(STATUS.ok)
  })
})
