import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

const killer = new URL('../support/thread-killer.js', import.meta.url).href
const TRIES = 5
/** Long enough to make a thread a busy one. */
const HANG_MS = 2000

describe('clients', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  const start = async (minClients: number): Promise<Stage> => {
    const conf = { actor_threads: 2, actor_min_clients: minClients, log_level: 1 }
    const stage = await Stage.start(cleanup, conf, { nodeOptions: ['--import', killer] })
    await stage.probesForgotten()
    return stage
  }
  const open = async (stage: Stage, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) await stage.open()
  }
  /** Kills one of the two threads. How many clients it had. */
  const clientsOfOne = async (stage: Stage): Promise<number> => {
    process.kill(stage.broker.program.pid, 'SIGUSR2')
    return Number(await waitFor('a death', () => /; (\d+) clients are lost with it/.exec(stage.broker.program.stderr)?.[1]))
  }

  it('fill one thread before the next one gets any', async () => {
    const stage = await start(4)
    await open(stage, 4)
    expect(await clientsOfOne(stage)).to.be.oneOf([0, 4])
  })

  it('then go to the next', async () => {
    const stage = await start(4)
    await open(stage, 7)
    expect(await clientsOfOne(stage)).to.be.oneOf([4, 3])
  })

  it('go elsewhere while a thread is busy', async () => {
    const lost: number[] = []
    // A thread counts as busy for one second after it was, in which the machine may do something else.
    for (let i = 0; i < TRIES && !lost.some(count => [2, 3].includes(count)); i++) {
      const stage = await start(100)
      const { client } = await stage.open()
      process.kill(stage.broker.program.pid, 'SIGURG')
      await waitFor('all threads to hang', () => stage.broker.program.stderr.split('a thread hangs').length > 2)
      await sleep(HANG_MS)
      process.kill(stage.broker.program.pid, 'SIGURG')
      await client.call(REMOTE.domainGetInfo)
      await sleep(300)
      await open(stage, 4)
      lost.push(await clientsOfOne(stage))
    }
    expect(lost.at(-1), `clients of one thread, each time: ${lost.join(', ')}`).to.be.oneOf([2, 3])
  })
})
