import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { pattern } from '../support/pattern.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'

const CLIENTS = 8
const ROUNDS = 3

describe('reloads under load', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('lose no call: not of those who are there, and nobody who comes is refused', async () => {
    const stage = await Stage.start(cleanup, { log_level: 2, actor_threads: 2 })
    const { broker } = stage
    let over = false
    let calls = 0
    const failures: unknown[] = []

    async function callAll(client: RawClient): Promise<void> {
      const payload = pattern(300)
      const reply = await client.call(REMOTE.domainGetXmlDesc, payload)
      expect(reply.payload.equals(payload)).to.equal(true)
      calls++
    }
    const stays = async (client: RawClient): Promise<void> => {
      while (!over) await callAll(client)
    }
    // Over the UNIX socket, which no reload closes.
    const comeAndGo = async (): Promise<void> => {
      while (!over) {
        const client = await stage.connect(broker.socket)
        expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
        await callAll(client)
        client.destroy()
      }
    }
    const there = await Promise.all(Array.from({ length: CLIENTS }, async (_, i) =>
      (await stage.open(i % 2 === 0 ? broker.tcpPort : broker.socket)).client))
    const all = [...there.map(stays), comeAndGo()].map(work => work.catch((error: unknown) => {
      failures.push(error)
    }))

    const otherPort = String(await freePort())
    const changes: Conf[] = [
      { max_client_requests: 20, driver_max_requests: 4 },
      { log_format: 'json' },
      { tcp_port: otherPort },
      { listen_tcp: 0 },
      { max_clients: 50, shield: 0, driver_sharing: 'identity' },
      {}
    ]
    for (let round = 0; round < ROUNDS; round++) {
      for (const change of changes) {
        const before = calls
        await broker.reload(change)
        while (calls < before + 3 * CLIENTS && failures.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
      }
    }
    over = true
    await Promise.all(all)
    expect(failures).to.deep.equal([])
    for (const client of there) expect(client.closed).to.equal(false)
  })
})
