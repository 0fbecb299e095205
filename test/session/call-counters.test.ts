import { Socket } from 'node:net'
import type { Worker } from 'node:worker_threads'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { actorSettings } from '#main/config/actor-settings.js'
import { loadConfig } from '#main/config/load.js'
import { ProcedureSums } from '#main/metrics/procedure-figures.js'
import { ActorPool } from '#main/threads/actor-pool.js'
import { NameService } from '#main/threads/name-service.js'
import { descriptorLimits } from '#workers/os/descriptor-limits.js'
import { FdLedger } from '#workers/os/fd-ledger.js'
import { ForeignCloser } from '#workers/os/foreign-close.js'
import { LastHeard } from '#workers/os/last-heard.js'
import { Cleanup } from '../support/cleanup.js'
import { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'
import { unixPair } from '../support/unix-pair.js'
import { waitFor } from '../support/waiting.js'

const LISTENER = { name: 'main', transport: 'unix', readonly: false, auth: 'none' } as const

describe('calls that are counted', function () {
  this.timeout(30_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('stay counted when the thread that counted them has died, and those of its successor come on top', async () => {
    const workers: Worker[] = []
    const started = (worker: Worker): void => void workers.push(worker)
    process.on('worker', started)
    cleanup.defer(() => Promise.resolve(void process.off('worker', started)))
    const config = loadConfig({ privileged: false, env: { HOME: await tempDir(cleanup) } })
    const names = new NameService({ info: () => undefined, log: () => undefined })
    const limits = descriptorLimits(2)
    const deaths: string[] = []
    const pool = new ActorPool(
      { threads: 1, minClients: 1, metering: true, limits },
      { ...actorSettings(config), logLevel: 'error', testDriverSocket: undefined, tls: undefined },
      { closer: new ForeignCloser(new FdLedger(), limits.foreign), lastHeard: new LastHeard() },
      { news: () => undefined, threadDied: (_, why) => deaths.push(why) },
      { names, sasl: undefined, daemons: undefined }
    )
    cleanup.defer(() => pool.close())
    cleanup.defer(() => Promise.resolve(names.stop()))
    await pool.started()

    async function call(id: number, times: number): Promise<void> {
      const [fd, peer] = await unixPair(cleanup)
      pool.hand({ id, since: Date.now(), listener: LISTENER, peer: undefined, fd })
      pool.flush()
      const socket = new Socket({ fd: peer }).on('error', () => undefined)
      cleanup.defer(() => Promise.resolve(void socket.destroy()))
      const client = new RawClient(socket)
      for (let i = 0; i < times; i++) expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    }

    await call(1, 2)
    const [first] = pool.threads
    first!.terminate(workers, 'a test wants it')
    await waitFor('its successor', () => pool.threads.length === 1 && pool.threads[0] !== first)
    await pool.started()
    await call(2, 3)
    expect(deaths).to.deep.equal(['a test wants it'])
    const figures = new ProcedureSums().sum(pool.counters.map(({ words }) => words))
    expect(figures).to.have.length(1)
    expect(figures[0]).to.deep.include({ program: 'remote', procedure: 'AUTH_LIST', driver: 'none', outcomes: [5, 0, 0, 0] })
  })
})
