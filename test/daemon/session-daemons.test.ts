import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { SessionDaemons } from '#main/threads/session-daemons.js'
import { Cleanup } from '../support/cleanup.js'
import { descriptorKinds } from '../support/process-state.js'
import { printed, Program } from '../support/processes.js'
import { SessionDaemonPrograms } from '../support/session-daemon.js'
import { waitFor } from '../support/waiting.js'

const PATIENCE_MS = 30_000
const LISTENS = 'listen(); time.sleep(600)'
const HANGS = 'time.sleep(600)'

describe('the driver daemons of a session', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let programs: SessionDaemonPrograms
  let daemons: SessionDaemons
  beforeEach(async () => {
    programs = await SessionDaemonPrograms.make(cleanup)
    const env = {
      PATH: process.env['PATH'], HOME: '/nonexistent', XDG_RUNTIME_DIR: programs.runtimeDir, VIRTD_PATH: programs.dir,
      NODE_OPTIONS: '--no-deprecation', NOTIFY_SOCKET: '/nowhere', LISTEN_FDS: '3', SECRET: 'x'
    }
    daemons = new SessionDaemons(programs.runDir, env, { info: () => undefined })
  })
  afterEach(async () => {
    daemons.stop()
    await cleanup.run()
  })

  const failure = (...names: string[]): Promise<string> => daemons.start(names, PATIENCE_MS).then(
    () => 'it was started',
    (error: Error) => error.message
  )

  it('are started once for all who want them, the first that is installed', async () => {
    await programs.install('virtvboxd', LISTENS)
    await programs.install('virtxend', LISTENS)
    await Promise.all(Array.from({ length: 20 }, () => daemons.start(['virtqemud', 'virtvboxd', 'virtxend'], PATIENCE_MS)))
    expect(programs.runs.map(({ args }) => args)).to.deep.equal([['--timeout=120']])
    expect(existsSync(join(programs.runDir, 'virtvboxd-sock'))).to.equal(true)
    expect(existsSync(join(programs.runDir, 'virtvboxd.lock'))).to.equal(false)
    await daemons.start(['virtvboxd'], PATIENCE_MS)
    expect(programs.runs).to.have.length(1)
  })

  it('get nothing of the broker\'s: no descriptors, variables, terminal, directory', async () => {
    await programs.install('virtqemud', LISTENS)
    await daemons.start(['virtqemud'], PATIENCE_MS)
    const [run] = programs.runs
    expect(run!.descriptors).to.deep.equal(['/dev/null', '/dev/null', '/dev/null'])
    expect(descriptorKinds(process.pid).length).to.be.above(3)
    expect(Object.keys(run!.env).sort()).to.deep.equal(['HOME', 'LC_ALL', 'PATH', 'XDG_RUNTIME_DIR'])
    expect(run).to.include({ cwd: '/', session: run!.pid })
    // Ours is as high as it may be.
    expect(run!.files[0]).to.equal(Math.min(1024, run!.files[1]))
  })

  it('that end at once are an error, and are not started faster than once a second', async () => {
    await programs.install('virtqemud', 'sys.exit(3)')
    const expected = `${programs.dir}/virtqemud ended (exit status 3) before it listened`
    const began = performance.now()
    for (let asked = 0; asked < 3; asked++) expect(await failure('virtqemud')).to.equal(expected)
    expect(programs.runs).to.have.length(3)
    expect(performance.now() - began).to.be.at.least(2000)
  })

  it('that do not listen are an error in time, and no second one is started', async () => {
    await programs.install('virtqemud', HANGS)
    const text = /\/virtqemud \(process \d+\) did not listen within 0\.5 s \(driver_connect_timeout\)$/
    for (let asked = 0; asked < 2; asked++) {
      const error = await daemons.start(['virtqemud'], 500).then(() => undefined, (error: Error) => error)
      expect(error?.message).to.match(text)
    }
    await waitFor('the process', () => programs.runs.length > 0)
    expect(programs.runs).to.have.length(1)
  })

  it('are started again when they have ended', async () => {
    await programs.install('virtqemud', LISTENS)
    await daemons.start(['virtqemud'], PATIENCE_MS)
    const { pid } = programs.runs[0]!
    process.kill(pid, 'SIGKILL')
    await waitFor('its end', () => !existsSync(`/proc/${pid}`))
    await daemons.start(['virtqemud'], PATIENCE_MS)
    expect(programs.runs).to.have.length(2)
  })

  it('are left to another program that is about to start them', async () => {
    await programs.install('virtqemud', LISTENS)
    const hold = 'import fcntl, sys; f = open(sys.argv[1], "w"); fcntl.lockf(f, fcntl.LOCK_EX); print("held", flush=True); sys.stdin.read()'
    const other = new Program(['python3', '-c', hold, join(programs.runDir, 'virtqemud.lock')])
    cleanup.defer(() => other.stop('SIGKILL'))
    await printed(other, /held/)
    const error = await daemons.start(['virtqemud'], 500).then(() => undefined, (error: Error) => error)
    expect(error?.message).to.equal(`${programs.dir}/virtqemud did not listen within 0.5 s (driver_connect_timeout)`)
    expect(programs.runs).to.deep.equal([])
    const started = daemons.start(['virtqemud'], PATIENCE_MS)
    other.child.stdin.end()
    await started
    expect(programs.runs).to.have.length(1)
  })

  it('that are not installed are an error', async () => {
    expect(await failure('virtqemud', 'libvirtd')).to.equal(`no virtqemud or libvirtd in ${programs.dir}`)
  })

  it('are not waited for by a broker that stops', async () => {
    await programs.install('virtqemud', HANGS)
    const started = failure('virtqemud')
    await waitFor('the process', () => programs.runs.length > 0)
    daemons.stop()
    expect(await started).to.match(/abort/)
  })
})
