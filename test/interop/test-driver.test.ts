import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { startTestDriver } from '#workers/test-driver/main.js'
import { PrivateFiles } from '#workers/test-driver/private-files.js'
import { Cleanup } from '../support/cleanup.js'
import { commandLine } from '../support/clients.js'
import { printed, Program, run } from '../support/processes.js'
import { startReferenceDriver } from '../support/reference-driver.js'
import { tempDir } from '../support/temp-dir.js'
import { FILES } from './embedded/files.js'
import { LISTS } from './embedded/commands.js'

const ENV = { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C.UTF-8', TZ: 'UTC', TERM: 'dumb' }
/** Figures that come from the clock, or that either side draws by lot. */
const MOVING: readonly (readonly [RegExp, string])[] = [
  [/CPU time: .*/g, 'CPU time: (moving)'],
  [/^(vda|testnet0) \w+ \d+$/gm, '$1 (moving)'],
  [/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( \+0000)?/g, '(time)'],
  [/<creationTime>\d+/g, '<creationTime>(time)'],
  [/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-(?!0000)[0-9a-f]{12}/g, '(uuid)'],
  [/snapshot \d{10}/g, 'snapshot (time)'],
  [/\bCPU (user|system|idle|iowait).*/g, '(moving)'],
  [/-(real|ours)\b/g, '-SIDE']
]

const steady = (text: string): string => MOVING.reduce((rest, [moving, still]) => rest.replace(moving, still), text)

/** A client that stays, so that the hypervisor does not begin anew, until its input ends. */
async function holder(uri: string): Promise<Program> {
  const program = new Program(['virsh', '-q', '-c', uri], { env: ENV })
  program.child.stdin.write('echo here\n')
  await printed(program, /here/)
  return program
}

/** Runs one client a command, on one hypervisor. Gives what each said, errors included, and its exit status. */
async function answers(uri: string, side: string, dir: string, commands: readonly string[]): Promise<string[]> {
  const stays = await holder(uri)
  const said: string[] = []
  for (const command of commands) {
    const line = command.replaceAll('@/', `${dir}/`).replaceAll('SIDE', side)
    // Both outputs go through one pipe: virsh empties the one before it writes to the other.
    const { stdout, status } = await run(['sh', '-c', 'exec "$@" 2>&1', 'sh', ...commandLine(uri, line, '-q')], { env: ENV })
    said.push(steady(`${stdout.trim()}\n${status}`))
  }
  stays.child.stdin.end()
  await stays.exited
  return said
}

describe('The embedded test driver, next to libvirt’s own', function () {
  this.timeout(120000)
  const cleanup = new Cleanup()
  const uri = { real: '', ours: '' }
  let dir = ''

  before(async () => {
    dir = await tempDir(cleanup)
    for (const [name, text] of Object.entries(FILES)) await writeFile(join(dir, name), text)
    await mkdir(join(dir, 'folder'))
    const failures: unknown[] = []
    const files = new PrivateFiles(dir)
    const driver = startTestDriver({ socketPath: join(dir, 'sock'), files, onFailure: error => failures.push(error) })
    cleanup.defer(() => Promise.resolve(files.close()))
    cleanup.defer(() => Promise.resolve(driver.close()))
    cleanup.defer(() => Promise.resolve(expect(failures).to.deep.equal([])))
    const url = (path: string): string => `test+unix:///default?socket=${path}`
    uri.ours = url(join(dir, 'sock'))
    uri.real = url(await startReferenceDriver(cleanup))
  })
  after(() => cleanup.run())

  for (const [name, rows] of Object.entries(LISTS)) {
    it(`answers virsh the same: ${name}, ${rows.length} commands`, async () => {
      const commands = rows.map(([command]) => command)
      const [real, ours] = await Promise.all([
        answers(uri.real, 'real', dir, commands),
        answers(uri.ours, 'ours', dir, commands)
      ])
      const unlike = rows.flatMap(([command, reason], index) =>
        reason === undefined && ours[index] !== real[index] ? [{ command, real: real[index], ours: ours[index] }] : []
      )
      expect(unlike, JSON.stringify(unlike, null, 1)).to.deep.equal([])
      for (const [index, [command, reason]] of rows.entries())
        if (reason !== undefined) expect(ours[index], `${command}: no longer different`).not.to.equal(real[index])
    })
  }

  it('lists every difference, with its reason, in the documentation', async () => {
    const page = await readFile(new URL('../../../docs/differences.md', import.meta.url), 'utf8')
    for (const [command, reason] of Object.values(LISTS).flat())
      if (reason !== undefined) expect(page, command).to.include(reason)
  })

  it('sends events to libvirt’s Python binding in the same order', async () => {
    const script = new URL('../../../test/interop/embedded/events.py', import.meta.url).pathname
    const told = async (where: string): Promise<string> => {
      const program = new Program(['/usr/bin/python3', script, where, dir], { env: ENV })
      const { status } = await program.exited
      expect(status, program.describe()).to.equal(0)
      return program.stdout
    }
    const [real, ours] = await Promise.all([told(uri.real), told(uri.ours)])
    expect(ours.split('\n')).to.deep.equal(real.split('\n'))
    expect(ours.split('\n')).to.have.length.above(20)
  })

  it('keeps the state while a client is there, and begins anew when the last one has gone', async () => {
    const stays = await holder(uri.ours)
    cleanup.defer(() => stays.stop())
    await run(['virsh', '-c', uri.ours, 'destroy test'], { env: ENV })
    const during = await run(['virsh', '-c', uri.ours, 'domstate test'], { env: ENV })
    stays.child.stdin.end()
    await stays.exited
    const after = await run(['virsh', '-c', uri.ours, 'domstate test'], { env: ENV })
    expect([during.stdout.trim(), after.stdout.trim()]).to.deep.equal(['shut off', 'running'])
  })
})
