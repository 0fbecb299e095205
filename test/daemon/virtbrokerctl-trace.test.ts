import { expect } from 'chai'
import { rpcError } from '#protocol/errors.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { Ctl } from '../support/ctl.js'
import type { Program } from '../support/processes.js'
import { residentMiB } from '../support/process-state.js'
import type { RawClient } from '../support/raw-client.js'
import { Stage } from '../support/stage.js'
import { waitFor } from '../support/waiting.js'

describe('virtbrokerctl trace', () => {
  const cleanup = new Cleanup()
  let stage: Stage
  let ctl: Ctl
  let client: RawClient
  let id: string
  beforeEach(async () => {
    stage = await Stage.start(cleanup)
    ctl = new Ctl(cleanup, stage.broker)
    await ctl.untilEmpty()
    client = (await stage.open()).client
    id = String((await ctl.json<[{ id: number }]>('clients'))[0].id)
  })
  afterEach(() => cleanup.run())

  /** Waits until its calls are seen. */
  async function traced(...args: string[]): Promise<Program> {
    const program = ctl.start('trace', id, ...args)
    await waitFor('the trace', async () => {
      await client.call(REMOTE.connectGetUri)
      return program.stdout.includes('CONNECT_GET_URI')
    })
    return program
  }

  /** Calls that the broker answers itself, many at a time. */
  async function callOften(count: number): Promise<void> {
    for (let done = 0; done < count; done += 100) {
      let serial = 0
      for (let i = 0; i < 100; i++) serial = client.post(REMOTE.connectGetUri)
      await client.next({ serial })
      client.inbox.length = 0
    }
  }

  it('shows each call by its name, and how it ended, until the client goes', async () => {
    const program = await traced()
    const inJson = ctl.start('--json', 'trace', id)
    expect(await inJson.exited).to.include({ status: 1 })
    expect(inJson.stderr).to.equal(`virtbrokerctl: operation failed: client ${id} is traced by somebody else\n`)
    await client.call(REMOTE.domainGetInfo)
    stage.driver.on(REMOTE.domainSave, () => rpcError('no'))
    await client.call(REMOTE.domainSave)
    await client.call(REMOTE.authSaslStep)
    client.destroy()
    expect((await program.exited).status).to.equal(0)
    expect(program.stdout).to.match(/^\d{4}-\d\d-\d\d [\d:.]+ {2}DOMAIN_GET_INFO +ok {2}\d+\.\d{3} ms/m)
    expect(program.stdout).to.match(/DOMAIN_SAVE +error 39 {2}\d+\.\d{3} ms/)
    expect(program.stdout).to.match(/AUTH_SASL_STEP +refused \d+ \(.+\)\n/)
    expect(program.stdout).to.match(/^-- the client has gone: End of file while reading data/m)
    expect((await ctl.run('trace', id)).stderr).to.contain(`No client with matching ID '${id}'`)
  })

  it('says what is not answered, in JSON too', async () => {
    const program = await traced('--json')
    stage.driver.on(REMOTE.domainSave, () => undefined)
    client.post(REMOTE.domainSave)
    await waitFor('a word of it', () => program.stdout.includes('"not answered: DOMAIN_SAVE for more than 1 s"'))
    for (const line of program.stdout.split('\n').slice(0, -1)) expect(JSON.parse(line)).to.be.an('object')
  })

  it('holds up no client while it is stopped, and costs no memory then', async () => {
    const program = await traced()
    program.child.kill('SIGSTOP')
    await callOften(20_000)
    const before = residentMiB(stage.broker.program.pid)
    await callOften(40_000)
    expect(residentMiB(stage.broker.program.pid) - before, 'more MiB').to.be.below(24)
    program.child.kill('SIGCONT')
    // It may have been given up meanwhile.
    await waitFor('what is lost', () => /-- (\d{5} calls were too many to be kept|nobody has asked for a while)/.test(program.stdout))
    const shown = program.stdout.match(/CONNECT_GET_URI/g)!.length
    expect(shown).to.be.below(3000)
    client.destroy()
    expect((await program.exited).status).to.equal(0)
  })
})
