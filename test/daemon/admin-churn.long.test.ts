import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { decodeError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { ADMIN, REMOTE } from '#protocol/procedures.js'
import { AdminConnection, clientName, clientsIn, listOf } from '../support/admin-connection.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { RawClient } from '../support/raw-client.js'
import { waitFor } from '../support/waiting.js'

/** So many are there at a time, once the first begin to go. */
const CLIENTS = 5000
/** A second. */
const RATE = 500
const SECONDS = 30
const STAY_MS = (1000 * CLIENTS) / RATE
const BATCH_MS = 20
/** Most that a list may take beyond an answer that costs nothing, but for one in a hundred. */
const LIST_MS = 200

describe('the admin socket, while clients come and go', function () {
  this.timeout(300_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('gives each its number once, counts them right, and lists them in time', async () => {
    const broker = await Broker.start(cleanup, { max_clients: 2 * CLIENTS })
    const [admin, other] = [await AdminConnection.to(cleanup, broker), await AdminConnection.to(cleanup, broker)]
    const since = new Map<number, number>()
    /** Those that were let in, until they go. */
    let [here, most, gone, coming] = [0, 0, 0, true]
    const times: number[] = []
    const others: number[] = []

    async function visit(where: string | number): Promise<void> {
      const client = await RawClient.connect(cleanup, where)
      await client.call(REMOTE.authList)
      here++
      await sleep(STAY_MS)
      here--
      gone++
      client.destroy()
    }
    const watched = (async () => {
      while (coming) {
        const asking = performance.now()
        await admin.ask(ADMIN.connectGetLibVersion)
        const [before, goneBefore, asked] = [here, gone, performance.now()]
        others.push(asked - asking)
        const reply = await admin.ask(ADMIN.serverListClients, listOf('virtproxyd'))
        times.push(performance.now() - asked)
        const clients = clientsIn(reply, 'virtproxyd')
        // Those that were there then, and have not gone since.
        expect(clients.length).to.be.at.least(before - (gone - goneBefore))
        most = Math.max(most, clients.length)
        // An expectation for each of thousands would keep the replies waiting that are timed.
        for (const [i, client] of clients.entries()) {
          if (i > 0 && clients[i - 1]!.id >= client.id) throw new Error(`client ${client.id} behind ${clients[i - 1]!.id}`)
          const known = since.get(client.id) ?? client.since
          if (known !== client.since) throw new Error(`client ${client.id} is there since ${known}, and since ${client.since}`)
          since.set(client.id, client.since)
        }
        await sleep(BATCH_MS)
      }
    })()
    const changed = (async () => {
      let infos = 0
      for (let limit = 6000; coming; limit = 13_000 - limit) {
        await other.setLimits({ nclients_max: limit })
        expect(await other.limits()).to.include({ nclients_max: limit })
        const id = 1 + Math.floor(Math.random() * since.size)
        if (since.has(id)) {
          const { status, payload } = await other.call(ADMIN.clientGetInfo, clientName('virtproxyd', id).u32(0))
          // It may be gone by now, and nothing else may be the matter.
          if (status !== STATUS.ok) expect(decodeError(payload)).to.include({ code: 96 })
          infos++
        }
        await sleep(BATCH_MS)
      }
      return infos
    })()
    const visits: Promise<void>[] = []
    const begun = performance.now()
    for (let i = 0; i < RATE * SECONDS; i++) {
      visits.push(visit(i % 2 === 0 ? broker.socket : broker.tcpPort))
      // By the clock: what one pause is too long the next ones make up for.
      const due = begun + (1000 * (i + 1)) / RATE
      if (due > performance.now()) await sleep(Math.max(BATCH_MS, due - performance.now()))
    }
    await Promise.all(visits)
    coming = false
    const [, infos] = await Promise.all([watched, changed])
    const p99 = (all: number[]): number => all.sort((one, another) => one - another)[Math.floor(0.99 * all.length)]!
    expect(p99(times), 'p99 of the list').to.be.lessThan(LIST_MS + p99(others))
    expect(times.length).to.be.greaterThan(100)
    expect(infos).to.be.greaterThan(100)
    // More, where the machine has kept those waiting that were to go.
    expect(most).to.be.at.least(0.9 * CLIENTS)
    await waitFor('all to be gone', async () => (await admin.limits()).nclients === 0)
    expect(await admin.clients()).to.deep.equal([])
    expect(since.size).to.be.at.most(RATE * SECONDS + 10)
  })
})
