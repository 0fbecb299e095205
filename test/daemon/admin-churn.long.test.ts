import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { ADMIN, REMOTE } from '#protocol/procedures.js'
import { AdminConnection, clientName } from '../support/admin-connection.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { RawClient } from '../support/raw-client.js'
import { waitFor } from '../support/waiting.js'

const CLIENTS = 5000
/** A second. */
const RATE = 500

describe('the admin socket, while clients come and go', function () {
  this.timeout(300_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('gives each its number once, and counts them right', async () => {
    const broker = await Broker.start(cleanup, { max_clients: 2000 })
    const admin = await AdminConnection.to(cleanup, broker)
    const other = await AdminConnection.to(cleanup, broker)
    const since = new Map<number, number>()
    let coming = true
    let lists = 0
    const watched = (async () => {
      while (coming) {
        const clients = await admin.clients()
        const ids = clients.map(({ id }) => id)
        expect(ids).to.deep.equal([...new Set(ids)].sort((one, another) => one - another))
        for (const client of clients) {
          expect(since.get(client.id) ?? client.since, `client ${client.id}`).to.equal(client.since)
          since.set(client.id, client.since)
        }
        lists++
        await sleep(5)
      }
    })()
    const changed = (async () => {
      for (let limit = 1900; coming; limit = 3900 - limit) {
        await other.setLimits({ nclients_max: limit })
        const [some] = await other.clients()
        // It may be gone by now.
        if (some !== undefined) await other.call(ADMIN.clientGetInfo, clientName('virtproxyd', some.id).u32(0))
        await sleep(20)
      }
    })()
    const visits: Promise<void>[] = []
    for (let i = 0; i < CLIENTS; i++) {
      visits.push(visit(i % 2 === 0 ? broker.socket : broker.tcpPort))
      if (i % (RATE / 50) === 0) await sleep(20)
    }
    await Promise.all(visits)
    coming = false
    await Promise.all([watched, changed])
    expect(lists).to.be.greaterThan(100)
    await waitFor('all to be gone', async () => (await admin.limits()).nclients === 0)
    expect(await admin.clients()).to.deep.equal([])
  })

  async function visit(where: string | number): Promise<void> {
    const client = await RawClient.connect(cleanup, where)
    await client.call(REMOTE.authList)
    await sleep(200)
    client.destroy()
  }
})
