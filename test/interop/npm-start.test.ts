import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { freePort } from '../support/free-port.js'
import { mustRun, Program, run } from '../support/processes.js'
import { waitFor } from '../support/waiting.js'

const script = new URL('../../../packaging/start.js', import.meta.url).pathname

describe('npm start', function () {
  this.timeout(120_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  it('is a hypervisor that remembers: what one virsh does the next one sees', async () => {
    const port = await freePort()
    const program = new Program([process.execPath, script, '--port', String(port)])
    cleanup.defer(() => program.stop())
    await waitFor('it to be ready', () => {
      if (program.ended) throw new Error(program.describe())
      return program.stdout.includes('virtbroker is ready')
    }, 60_000)
    // As it says itself.
    const lines = [...program.stdout.matchAll(/^ {2}virsh -c (\S+) (suspend|domstate) test$/gm)].map(([, uri, command]) => [uri!, command!])
    expect(lines.map(([, command]) => command)).to.deep.equal(['suspend', 'domstate'])
    for (const [uri, command] of lines) await mustRun(['virsh', '-c', uri!, command!, 'test'])
    const { stdout } = await mustRun(['virsh', '-c', lines[1]![0]!, 'domstate', 'test'])
    expect(stdout.trim()).to.equal('paused')
  })

  it('says that its port is taken before it builds anything', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    cleanup.defer(() => Promise.resolve(server.close()))
    const { port } = server.address() as { port: number }
    const { status, stderr } = await run([process.execPath, script, '--port', String(port)])
    expect(status).to.equal(1)
    expect(stderr).to.equal(`Port ${port} is taken, by another libvirt daemon perhaps. Try: npm start -- --port 16599\n`)
  })
})
