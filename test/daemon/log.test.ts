import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { Cleanup } from '../support/cleanup.js'
import { brokerCommand, brokerFiles } from '../support/broker-command.js'
import { FakeDriver } from '../support/fake-driver.js'
import { Fifo } from '../support/fifo.js'
import { freePort } from '../support/free-port.js'
import { Metrics } from '../support/metrics.js'
import { Program } from '../support/processes.js'
import { RawClient } from '../support/raw-client.js'
import { canConnect } from '../support/sockets.js'
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
    const who = `uid ${process.geteuid!()}, pid ${process.pid}`
    await line(stage, new RegExp(`client \\d+ at ${who}: logged in: user '.*' \\(\\d+\\) \\(unix\\)`))
    await local.call(REMOTE.connectClose)
    await line(stage, new RegExp(`client \\d+ at uid \\d+, pid ${process.pid}: closed: closed by the client; after`))
  })

  it('tells of its start and its end', async () => {
    const stage = await Stage.start(cleanup, { log_level: 2 })
    await line(stage, /daemon\.virtproxyd : ready, with/)
    await stage.broker.program.stop()
    await line(stage, /daemon\.virtproxyd : stopping/)
  })

  it('has not a line at the default level while nothing is wrong: start, clients, reload, stop', async () => {
    const [dir, otherDir] = [await tempDir(cleanup), await tempDir(cleanup)]
    const driver = await FakeDriver.listen(cleanup, join(dir, 'virtqemud-sock'))
    const other = await FakeDriver.listen(cleanup, join(otherDir, 'virtqemud-sock'))
    // For our own user alone: where everybody is let in the start says so.
    const conf = { unix_sock_rw_perms: '0700', unix_sock_ro_perms: '0700', log_outputs: '3:stderr', driver_socket_dir: dir }
    const files = await brokerFiles(cleanup, conf)
    const program = new Program(brokerCommand('-f', files.file, '-p', files.pidFile))
    cleanup.defer(() => program.stop())
    const socket = join(files.dir, 'libvirt-sock')
    await waitFor('the broker', () => canConnect(socket))
    const open = async (): Promise<RawClient> => {
      const client = await RawClient.connect(cleanup, socket)
      expect((await client.open('qemu:///system')).status).to.equal(STATUS.ok)
      return client
    }
    const client = await open()
    await client.call(REMOTE.connectClose)
    await client.end()
    const hasty = await open()
    hasty.destroy()
    expect(driver.connections).not.to.have.length(0)
    await writeFile(files.file, (await readFile(files.file, 'utf8')).replace(dir, otherDir))
    program.child.kill('SIGHUP')
    await waitFor('the reload', async () => {
      const probe = await open()
      probe.destroy()
      return other.connections.length > 0
    })
    // Is there at the stop.
    await open()
    await program.stop()
    expect((await program.exited).status).to.equal(0)
    expect(program.stderr).to.equal('')
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

  it('keeps nobody waiting when standard error is a pipe that is not read, and tells how many lines were lost', async () => {
    const fifo = new Fifo(cleanup, join(await tempDir(cleanup), 'stderr'))
    // With a process of the broker's that has the same pipe, for which Node makes writing to it wait.
    const metrics = await freePort()
    const conf = { log_level: 2, log_outputs: '2:stderr', embedded_test_driver: 1, metrics_listen: `127.0.0.1:${metrics}` }
    const stage = await Stage.start(cleanup, conf, { within: ['sh', '-c', `exec "$@" 2> '${fifo.path}'`, 'sh'] })
    await stage.open()
    fifo.fill()
    const { client } = await stage.open()
    expect((await client.call(REMOTE.connectClose)).status).to.equal(STATUS.ok)
    await waitFor('a loss', async () => (await Metrics.of(metrics)).value('log_suppressed_total', { reason: 'lost' })! > 0)
    while (fifo.read() !== '');
    // The next line says it first.
    await stage.open()
    let text = ''
    await waitFor('the count', () => /\d+ lines of the log were lost here/.test(text += fifo.read()))
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

  describe('in JSON', () => {
    const lines = (stage: Stage): Record<string, unknown>[] => {
      const whole = stage.broker.program.stderr.split('\n').slice(0, -1)
      return whole.filter(text => text.startsWith('{')).map(text => JSON.parse(text) as Record<string, unknown>)
    }
    const found = (stage: Stage, message: RegExp): Promise<Record<string, unknown>> =>
      waitFor(String(message), () => lines(stage).find(one => message.test(String(one.message))))

    it('has the client, where it came from, and the driver daemon in fields', async () => {
      const stage = await Stage.start(cleanup, { log_level: 2, log_format: 'json' })
      const { client, daemon } = await stage.open(stage.broker.socket)
      const local = { listener: 'main', uid: process.geteuid!(), pid: process.pid }
      const { time, ...loggedIn } = await found(stage, /^logged in: user/)
      expect(Math.abs(Date.parse(String(time)) - Date.now())).to.be.lessThan(60_000)
      expect(loggedIn).to.include({ level: 'info', source: 'rpc.netserverclient', ...local }).and.not.to.have.property('kind')
      daemon.destroy()
      expect(await found(stage, /^driver daemon lost/)).to.include({
        ...local, client: loggedIn.client, driver: join(stage.driverDir, 'virtqemud-sock')
      })
      client.destroy()
      const hostile = await stage.connect()
      hostile.write(Buffer.alloc(28))
      const violation = await found(stage, /not legal/)
      expect(violation).to.include({ level: 'error', kind: 'protocol-violation', listener: 'tcp' })
      expect(violation.address).to.match(/^127\.0\.0\.1:\d+$/)
      expect(violation.message).to.equal('closed: frame length 0 is not legal')
    })

    it('is begun and left by a reload', async () => {
      const stage = await Stage.start(cleanup, { log_level: 2 })
      await stage.broker.reload({ log_format: 'json' })
      expect((await found(stage, /anew/)).level).to.equal('info')
      await stage.broker.reload({ log_format: 'text' })
      await line(stage, /\+0000: \d+: info : daemon.virtproxyd : configuration loaded anew/)
    })
  })
})
