import { existsSync, readFileSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { Stage } from '../support/stage.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

describe('the log', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const line = (stage: Stage, pattern: RegExp): Promise<string> =>
    waitFor(String(pattern), () => pattern.exec(stage.broker.program.stderr)?.[0])

  it('tells at info level who was connected, from where, for how long, and how it ended', async () => {
    const stage = await Stage.start(cleanup, { log_level: 2 })
    const { client } = await stage.open()
    await line(stage, /info : rpc\.netserverclient : client \d+ at 127\.0\.0\.1:\d+: logged in: a client without identity \(tcp\)/)
    await client.call(REMOTE.domainGetInfo)
    client.destroy()
    await line(stage, /client \d+ at 127\.0\.0\.1:\d+: closed: End of file .*; after \d+\.\d s and 1 calls/)
    const { client: local } = await stage.open(stage.broker.socket)
    await line(stage, new RegExp(`client \\d+ at uid ${process.geteuid!()}, pid ${process.pid}: logged in: user '.*' \\(\\d+\\) \\(unix\\)`))
    await local.call(REMOTE.connectClose)
    await line(stage, new RegExp(`client \\d+ at uid \\d+, pid ${process.pid}: closed: closed by the client; after`))
  })

  it('tells of its start and its end', async () => {
    const stage = await Stage.start(cleanup, { log_level: 2 })
    await line(stage, /daemon\.virtproxyd : ready, with/)
    await stage.broker.program.stop()
    await line(stage, /daemon\.virtproxyd : stopping/)
  })

  it('has not a line about a client that does nothing wrong, at the default level', async () => {
    const stage = await Stage.start(cleanup)
    const { client } = await stage.open()
    await client.call(REMOTE.domainGetInfo)
    await client.call(REMOTE.connectClose)
    await client.end()
    await stage.broker.program.stop()
    expect(stage.broker.program.stderr).not.to.match(/client/)
  })

  for (const [signal, said] of [['SIGUSR1', 'log opened anew'], ['SIGHUP', 'configuration loaded anew']] as const) {
    it(`goes on in a new file at ${signal}, when the old one has been renamed`, async () => {
      const dir = await tempDir(cleanup)
      const [file, rotated] = [join(dir, 'log'), join(dir, 'log.1')]
      const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '')
      const stage = await Stage.start(cleanup, { log_level: 2, log_outputs: `2:file:${file}` })
      await stage.open()
      await waitFor('a line', () => read(file).includes('logged in'))
      await rename(file, rotated)
      stage.broker.program.child.kill(signal)
      await waitFor('the new file', () => read(file).includes(said))
      const before = read(rotated)
      await stage.open()
      await waitFor('a line there', () => read(file).includes('logged in'))
      expect(read(rotated)).to.equal(before)
      expect(read(file)).to.match(/^.*virtbroker version/)
    })
  }

  it('stays where it is at SIGUSR1 when a file cannot be opened', async () => {
    const dir = join(await tempDir(cleanup), 'there')
    await mkdir(dir)
    const file = join(dir, 'log')
    const stage = await Stage.start(cleanup, { log_outputs: `2:file:${file} 2:stderr`, log_level: 2 })
    await rename(dir, `${dir}.1`)
    stage.broker.program.child.kill('SIGUSR1')
    await line(stage, /log not opened anew: failed to open .*: No such file or directory/)
    await stage.open()
    await waitFor('a line', () => readFileSync(join(`${dir}.1`, 'log'), 'utf8').includes('logged in'))
  })

  it('names the address of a client that sends garbage', async () => {
    const stage = await Stage.start(cleanup)
    const client = await stage.connect()
    client.write(Buffer.alloc(28))
    await line(stage, /client \d+ at 127\.0\.0\.1:\d+: closed: frame length 0 is not legal/)
  })

  it('is filtered by the names that libvirt has for its sources', async () => {
    const stage = await Stage.start(cleanup, { log_level: 4, log_filters: '2:rpc.netserverclient 4:daemon', log_outputs: '1:stderr' })
    await stage.open()
    await line(stage, /netserverclient : client .*logged in/)
    expect(stage.broker.program.stderr).not.to.match(/ready, with/)
  })
})
