import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { pattern } from '../support/pattern.js'
import { openDescriptors } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const killer = new URL('../support/thread-killer.js', import.meta.url).href
const CLIENTS = 12
const PATIENCE_MS = 15_000

// Threads that hang have taken up what came before, and nothing of what comes then.
for (const threads of [1, 3]) {
  describe(`one of ${threads} actor threads that dies with connections handed to it that it has not taken up`, () => {
    const cleanup = new Cleanup()
    let stage: Stage
    const settled: RawClient[] = []
    const newcomers: RawClient[] = []
    let descriptors: number

    before(async () => {
      const conf = { actor_threads: threads, max_clients: 2 * CLIENTS, log_level: 1 }
      stage = await Stage.start(cleanup, conf, { nodeOptions: ['--import', killer] })
      await stage.probesForgotten()
      descriptors = openDescriptors(stage.broker.program.pid)
      for (let i = 0; i < CLIENTS; i++) settled.push((await stage.open(place(i))).client)
    })
    after(() => cleanup.run())

    const place = (index: number): string | number => (index % 2 === 0 ? stage.broker.socket : stage.broker.tcpPort)
    const log = (): string => stage.broker.program.stderr

    it('leaves these to another thread, which serves them; only what it had taken up is lost', async () => {
      const { pid } = stage.broker.program
      const before = openDescriptors(pid)
      process.kill(pid, 'SIGURG')
      await waitFor('all threads to hang', () => log().split('a thread hangs').length > threads)
      for (let i = 0; i < CLIENTS; i++) {
        const client = await stage.connect(place(i))
        client.send({ proc: REMOTE.connectOpen, serial: 1 }, encodeOpen({ name: 'qemu:///system', flags: 0 }))
        newcomers.push(client)
      }
      // Accepted, and with the threads: for the kernel's backlog a descriptor would be too few.
      await waitFor('the connections to be accepted', () => openDescriptors(pid) === before + CLIENTS)
      process.kill(pid, 'SIGUSR2')
      await waitFor('the news of it', () => /an actor thread died \(worker exited/.test(log()))
      expect(log()).to.contain(`; ${CLIENTS / threads} clients are lost with it`)
      process.kill(pid, 'SIGURG')
      for (const [i, client] of newcomers.entries()) {
        const opened = await client.next({ type: MESSAGE.reply, serial: 1 }, PATIENCE_MS)
        expect(opened.status, `status of newcomer ${i}`).to.equal(STATUS.ok)
        const { payload } = await client.call(REMOTE.domainGetXmlDesc, pattern(30, i), { serial: 2 })
        expect(payload).to.deep.equal(pattern(30, i))
      }
      await waitFor('the lost to be closed', () => settled.filter(({ closed }) => closed).length === CLIENTS / threads)
    })

    it('leaves counts and descriptors right', async () => {
      // Exactly as many places are free as clients were lost.
      for (let i = 0; i < CLIENTS / threads; i++) newcomers.push((await stage.open(place(i))).client)
      const oneTooMany = await stage.connect()
      oneTooMany.post(REMOTE.authList, undefined, { serial: 1 })
      await sleep(300)
      expect(oneTooMany.inbox, 'answers to one client too many').to.be.empty
      for (const client of [...settled, ...newcomers, oneTooMany]) client.destroy()
      const { pid } = stage.broker.program
      await waitFor('all descriptors to be back', () => openDescriptors(pid) <= descriptors)
        .catch(() => expect(openDescriptors(pid), 'descriptors').to.equal(descriptors))
    })
  })
}
