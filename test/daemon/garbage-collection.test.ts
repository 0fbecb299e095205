import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { Stage } from '../support/stage.js'

const COLLECTIONS = 8
const AT_A_TIME = 16

/** How long helpers have worked on each collection of young objects that V8's trace tells of, in milliseconds. */
const helped = (trace: string): number[] =>
  [...trace.matchAll(/ gc=s .* background\.scavenge\.parallel=([\d.]+) /g)].map(([, ms]) => Number(ms))

describe('the collection of young objects', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('is a thread\'s own work: it waits for no helpers', async () => {
    const stage = await Stage.start(cleanup, { actor_threads: 1 }, { nodeOptions: ['--trace-gc', '--trace-gc-nvp'] })
    const { program } = stage.broker
    const before = helped(program.stdout).length
    while (helped(program.stdout).length < before + COLLECTIONS) {
      const clients = await Promise.all(Array.from({ length: AT_A_TIME }, () => stage.connect()))
      await Promise.all(clients.map(client => client.open('qemu:///system')))
      for (const client of clients) client.destroy()
    }
    expect(helped(program.stdout).slice(before)).to.satisfy((all: number[]) => all.every(ms => ms === 0))
  })
})
