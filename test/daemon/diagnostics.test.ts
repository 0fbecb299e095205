import { existsSync, readFileSync } from 'node:fs'
import { chmod, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { CODE, rpcError } from '#protocol/errors.js'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { brokerCommand, brokerFiles } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import { pattern } from '../support/pattern.js'
import { run } from '../support/processes.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const { domainGetXmlDesc: CALL, domainSave: SAVE } = REMOTE
const EMPTY = Buffer.alloc(0)

/** The example of docs/metrics.md, as it stands there. */
const example = (): string => /```js\n([\s\S]*?)```/.exec(readFileSync('docs/metrics.md', 'utf8'))![1]!

/** A provider that writes down what is recorded. */
const recorder = (file: string): string => `
import { appendFileSync } from 'node:fs'
import { metrics } from '@opentelemetry/api'
metrics.setGlobalMeterProvider({ getMeter: meter => ({ createHistogram: (name, { unit }) => ({
  record: (value, attributes) => appendFileSync(${JSON.stringify(file)}, JSON.stringify({ meter, name, unit, value, attributes }) + '\\n')
}) }) })
`

describe('a module that the threads load', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  async function withModule(text: string, actor_threads = 2): Promise<{ dir: string; stage: Stage }> {
    const dir = await tempDir(cleanup)
    const thread_module = join(dir, 'telemetry.mjs')
    await writeFile(thread_module, text)
    await symlink(join(process.cwd(), 'node_modules'), join(dir, 'node_modules'))
    await writeFile(join(dir, 'otel.mjs'), recorder(join(dir, 'recorded')))
    return { dir, stage: await Stage.start(cleanup, { thread_module, actor_threads, driver_sharing: 'off' }) }
  }

  it('makes histograms of OpenTelemetry of them, as docs/metrics.md shows', async () => {
    const { dir, stage } = await withModule(example())
    stage.driver.on(SAVE, () => rpcError('no'))
    for (let clients = 0; clients < 2; clients++) {
      const { client } = await stage.open()
      for (let calls = 0; calls < 3; calls++) await client.call(CALL, EMPTY)
      await client.call(SAVE, EMPTY)
    }
    const file = join(dir, 'recorded')
    const lines = await waitFor('the records', () => {
      const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
      return lines.length === 8 && lines.map(line => JSON.parse(line) as { value: number; attributes: object })
    })
    for (const line of lines) {
      expect(line).to.include({ meter: 'virtbroker', name: 'rpc.server.call.duration', unit: 's' })
      expect(line.value).to.be.within(0.000001, 20)
    }
    const of = (attributes: object): number => lines.filter(line => JSON.stringify(line.attributes) === JSON.stringify(attributes)).length
    expect(of({ 'rpc.system.name': 'libvirt', 'rpc.method': 'remote/DOMAIN_GET_XML_DESC' })).to.equal(6)
    const failed = { 'rpc.system.name': 'libvirt', 'rpc.method': 'remote/DOMAIN_SAVE', 'error.type': String(CODE.rpc) }
    expect(of(failed)).to.equal(2)
  })

  it('is told of clients, and of calls that no daemon is given', async () => {
    const { dir, stage } = await withModule(`
      import { subscribe } from 'node:diagnostics_channel'
      import { appendFileSync } from 'node:fs'
      const say = what => appendFileSync(new URL('said', import.meta.url), what + '\\n')
      subscribe('virtbroker:call:end', ({ procedure, driver, outcome }) => say([procedure, driver, outcome].join(' ')))
      subscribe('virtbroker:client:close', ({ client, why }) => say([client.listener.name, why].join(': ')))
      subscribe('virtbroker:client:change', ({ client }) => say(client.state))
    `)
    const { client } = await stage.open()
    await client.call(REMOTE.authPolkit)
    await client.call(REMOTE.connectClose)
    await client.end()
    const said = (): string[] => readFileSync(join(dir, 'said'), 'utf8').trim().split('\n')
    await waitFor('the end', () => said().includes('tcp: closed by the client'))
    expect(said()).to.include.members(['serving', 'CONNECT_OPEN qemu ok', 'AUTH_POLKIT qemu refused', 'CONNECT_CLOSE qemu ok', 'closing'])
  })

  it('is told where each call begins and ends, of calls that overtake each other and those that get no answer too', async () => {
    const { dir, stage } = await withModule(`
      import { subscribe } from 'node:diagnostics_channel'
      import { appendFileSync } from 'node:fs'
      const begun = new Map()
      const say = what => appendFileSync(new URL('said', import.meta.url), what + '\\n')
      const key = ({ client, serial }) => client.id + ' ' + serial
      subscribe('virtbroker:call:start', call => {
        if (begun.has(key(call))) say('twice ' + key(call))
        begun.set(key(call), call)
        say('begun ' + begun.size)
      })
      subscribe('virtbroker:call:end', call => {
        const start = begun.get(key(call))
        begun.delete(key(call))
        const same = start && ['client', 'program', 'procedure', 'driver'].every(name => start[name] === call[name])
        say([call.procedure, call.outcome, same, begun.size].join(' '))
      })
    `)
    stage.driver.on(SAVE, () => undefined)
    const said = (): string[] => readFileSync(join(dir, 'said'), 'utf8').trim().split('\n')
    const { client, daemon } = await stage.open()
    await client.call(REMOTE.connectGetUri)
    for (let i = 0; i < 8; i++) client.post(SAVE, EMPTY)
    await waitFor('eight calls', () => said().includes('begun 8'))
    const calls = await Promise.all(Array.from({ length: 4 }, () => daemon.next({ proc: SAVE })))
    daemon.reply(calls[2]!)
    daemon.reply(calls[0]!)
    await waitFor('two ends', () => said().includes('DOMAIN_SAVE ok true 6'))
    client.destroy()
    await waitFor('all ends', () => said().includes('DOMAIN_SAVE lost true 0'))
    expect(said().filter(line => !line.startsWith('begun'))).to.deep.equal([
      'CONNECT_OPEN ok  0', 'CONNECT_GET_URI ok  0', 'DOMAIN_SAVE ok true 7', 'DOMAIN_SAVE ok true 6',
      ...[5, 4, 3, 2, 1, 0].map(left => `DOMAIN_SAVE lost true ${left}`)
    ])
  })

  it('is told of driver connections that are opened, lost, made anew, and not to be had', async () => {
    const { dir, stage } = await withModule(`
      import { subscribe } from 'node:diagnostics_channel'
      import { appendFileSync } from 'node:fs'
      const say = what => appendFileSync(new URL('said', import.meta.url), what + '\\n')
      for (const what of ['open', 'close', 'reconnect']) subscribe('virtbroker:driver:' + what, told => {
        const { connection, name, driver, readonly, outcome, lost, error, client, socket, seconds } = told
        if (what === 'open' && !(seconds > 0 && socket.endsWith('/virtqemud-sock'))) say('wrong ' + JSON.stringify(told))
        say([what, connection, name, driver, readonly, outcome, lost, client?.id > 0, error?.constructor.name].join(' '))
      })
    `, 1)
    const said = (): string[] => readFileSync(join(dir, 'said'), 'utf8').trim().split('\n')
    const { client, daemon } = await stage.open()
    daemon.destroy()
    await waitFor('the loss', () => said().length === 2)
    await client.call(CALL, EMPTY)
    await stage.driver.stop()
    await waitFor('another loss', () => said().length === 5)
    expect((await client.call(CALL, EMPTY)).status).to.equal(STATUS.error)
    await waitFor('a failure', () => said().length === 7)
    expect(said()).to.deep.equal([
      'open 1 qemu:///system qemu false ok  false ', 'close 1     true false RemoteError',
      'open 2 qemu:///system qemu false ok  false ', 'reconnect   qemu  ok  true ', 'close 2     true false RemoteError',
      'open  qemu:///system qemu false absent  false RemoteError', 'reconnect   qemu  failed  true RemoteError'
    ])
  })

  it('may throw when it is told of something, or later, and nobody is lost', async () => {
    const { stage } = await withModule(`
      import { subscribe } from 'node:diagnostics_channel'
      for (const what of ['call:start', 'call:end', 'client:change', 'client:close', 'driver:open', 'driver:close']) {
        subscribe('virtbroker:' + what, () => { throw new Error('at ' + what) })
      }
      subscribe('virtbroker:call:start', () => void Promise.reject(new Error('later')))
      setTimeout(() => { throw 'no error at all' }, 10)
    `)
    const { client } = await stage.open()
    for (let calls = 0; calls < 100; calls++) expect((await client.call(CALL, pattern(9, calls))).payload).to.deep.equal(pattern(9, calls))
    const { program } = stage.broker
    for (const what of ['at call:start', 'at call:end', 'at client:change', 'at driver:open', 'later']) {
      await program.hasSaid(new RegExp(`error : daemon.virtproxyd : thread_module: Error: ${what}`))
    }
    await program.hasSaid(/thread_module: .*no error at all/)
    expect(program.stderr).not.to.match(/actor thread died|internal failure|unexpected failure/)
    expect(program.stderr.match(/thread_module: Error: at call:end/g)!.length).to.be.at.most(60)
  })

  it('does not keep the broker from serving when it cannot be loaded, which the log says', async () => {
    const { stage } = await withModule("import 'nowhere'")
    await stage.broker.program.hasSaid(/error : daemon.virtproxyd : thread_module: .*Cannot find package 'nowhere'/)
    const { client } = await stage.open()
    expect((await client.call(CALL, EMPTY)).payload).to.deep.equal(EMPTY)
  })

  it('must be nobody else\'s', async () => {
    const module = join(await tempDir(cleanup), 'module.mjs')
    const check = async (): Promise<string> => {
      const { file, pidFile } = await brokerFiles(cleanup, { thread_module: module })
      return (await run(brokerCommand('--check-config', '-f', file, '-p', pidFile))).stderr
    }
    expect(await check()).to.match(/thread_module: '.*' cannot be read: No such file or directory/)
    await writeFile(module, '')
    expect(await check()).to.equal('')
    await chmod(module, 0o666)
    expect(await check()).to.match(/thread_module: '.*' can be written by others/)
  })
})
