import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { REMOTE } from '#protocol/procedures.js'
import { connectAs, openToAll, USER } from '../support/as-user.js'
import { Broker } from '../support/broker.js'
import { Cleanup } from '../support/cleanup.js'
import { confText } from '../support/conf-file.js'
import { freePort } from '../support/free-port.js'
import { catches, childrenOf, listeningPorts } from '../support/process-state.js'
import { printed, Program, run } from '../support/processes.js'
import { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

const main = (name: string): string => new URL(`../../../dist/main/${name}`, import.meta.url).pathname
const executable = main('virtbrokerd.js')

/** What a caller might have for itself. Each would change what Node does in the daemon. */
const CALLERS = {
  NODE_OPTIONS: '--inspect=127.0.0.1:0 --no-deprecation',
  NODE_DEBUG: 'net,worker',
  NODE_PATH: '/nowhere',
  NODE_PENDING_DEPRECATION: '1',
  NODE_TLS_REJECT_UNAUTHORIZED: '0',
  NODE_EXTRA_CA_CERTS: '/nowhere/ca.pem'
}

const variables = (pid: number): string[] =>
  readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').map(entry => entry.split('=')[0]!)

const namesForNode = (pid: number): string[] => variables(pid).filter(name => /^NODE_(?!CHANNEL_)/.test(name))

describe('the process of the broker', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  const serves = async (where: string | number): Promise<void> => {
    const client = await RawClient.connect(cleanup, where)
    expect((await client.call(REMOTE.authList)).status).to.equal(STATUS.ok)
    client.destroy()
  }

  /** A configuration with sockets in a directory of its own. */
  const prepared = async (): Promise<{ socket: string; args: string[]; pidFile: string }> => {
    const dir = await tempDir(cleanup)
    const [file, pidFile] = [join(dir, 'bröker.conf'), join(dir, 'broker.pid')]
    const log_outputs = `3:file:${join(dir, 'log')}`
    await writeFile(file, confText({ unix_sock_dir: dir, auth_unix_rw: 'none', auth_unix_ro: 'none', log_outputs }))
    return { socket: join(dir, 'libvirt-sock'), args: ['-f', file, '-p', pidFile], pidFile }
  }

  /** Signals from the first moment at which one does not end any process of Node, until `over`. */
  const signalAllTheTime = async (program: Program, over: () => boolean): Promise<void> => {
    while (!program.ended && !catches(program.pid, 'SIGUSR1')) await sleep(1)
    while (!program.ended && !over()) {
      program.child.kill('SIGUSR1')
      await sleep(1)
    }
  }

  it('has no debugger, whenever SIGUSR1 comes during its start', async () => {
    let opened = 0
    for (let start = 0; start < 8; start++) {
      let signals: Promise<void> | undefined
      let over = false
      const started = (program: Program): void => void (signals = signalAllTheTime(program, () => over))
      const broker = await Broker.start(cleanup, {}, { started })
      over = true
      await signals
      const { pid } = broker.program
      await waitFor('an end to other ports', () => listeningPorts(pid).join() === String(broker.tcpPort), 5000)
      await serves(broker.socket)
      if (broker.program.stderr.includes('Debugger listening')) opened++
      await broker.program.stop()
    }
    // Node cannot be kept from it before the first statement: without that nothing would have been tried here.
    expect(opened).to.be.above(0)
  })

  it('has none when somebody was quick enough to connect to it, and does not wait for him', async () => {
    let intruder: Promise<Socket> | undefined
    const isIn = join(await tempDir(cleanup), 'in')
    const started = (program: Program): void => {
      void signalAllTheTime(program, () => existsSync(isIn))
      intruder = intrude().finally(() => writeFile(isIn, ''))
    }
    const slowly = encodeURIComponent(`import { existsSync } from 'node:fs'; while (!existsSync('${isIn}'));`)
    const broker = await Broker.start(cleanup, {}, { started, nodeOptions: ['--import', `data:text/javascript,${slowly}`] })
    const connection = await intruder!
    await waitFor('its end', () => connection.closed)
    expect(listeningPorts(broker.program.pid)).to.deep.equal([broker.tcpPort])
    await serves(broker.socket)
  })

  /** A client of Node's debugger who says nothing more once he is in. */
  const intrude = async (): Promise<Socket> => {
    const { webSocketDebuggerUrl } = await waitFor('the debugger', async () => {
      const list = await fetch('http://127.0.0.1:9229/json/list').then(reply => reply.json(), () => [])
      return (list as { webSocketDebuggerUrl: string }[])[0]
    })
    const { host, pathname } = new URL(webSocketDebuggerUrl)
    const socket = connect(9229, '127.0.0.1')
    cleanup.defer(() => Promise.resolve(socket.destroy()))
    socket.on('error', () => undefined)
    const key = 'dGhlIHNhbXBsZSBub25jZQ=='
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`
    )
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString('latin1')).to.match(/^HTTP\/1.1 101/)
    return socket.resume()
  }

  it('has no debugger when SIGUSR1 comes later', async () => {
    const broker = await Broker.start(cleanup, {})
    const { pid } = broker.program
    for (let i = 0; i < 20; i++) {
      broker.program.child.kill('SIGUSR1')
      await serves(broker.tcpPort)
    }
    expect(listeningPorts(pid)).to.deep.equal([broker.tcpPort])
    expect(broker.program.stderr).not.to.contain('Debugger')
    await broker.program.stop()
    expect((await broker.program.exited).status).to.equal(0)
  })

  it('has no debugger in the processes that it starts either', async () => {
    const broker = await Broker.start(cleanup, { embedded_test_driver: 1, unix_sock_rw_perms: '0777' })
    await openToAll(broker.dir)
    const { pid } = broker.program
    // Names are looked up for somebody who is not root: that process is started when it is needed.
    const client = await connectAs(cleanup, USER.nobody, broker.socket)
    expect((await client.open('test:///default')).status).to.equal(STATUS.ok)
    const children = await waitFor('both processes', () => (childrenOf(pid).length === 2 ? childrenOf(pid) : undefined))
    for (const child of children) {
      await waitFor('its modules', () => catches(child, 'SIGUSR1'))
      for (let i = 0; i < 20; i++) {
        process.kill(child, 'SIGUSR1')
        expect((await client.call(REMOTE.connectGetLibVersion)).status).to.equal(STATUS.ok)
      }
      expect(listeningPorts(child), readFileSync(`/proc/${child}/cmdline`, 'latin1')).to.deep.equal([])
    }
    expect(childrenOf(pid)).to.have.members(children)
  })

  it('takes no orders to Node from the environment, and keeps pid, arguments and streams all the same', async () => {
    const broker = await Broker.start(cleanup, {}, { env: CALLERS, nodeOptions: ['--enable-source-maps'] })
    const { pid } = broker.program
    expect(namesForNode(pid)).to.deep.equal([])
    expect(variables(pid)).to.include('PATH')
    expect(listeningPorts(pid)).to.deep.equal([broker.tcpPort])
    expect(readFileSync(`/proc/${pid}/cmdline`, 'latin1')).to.contain('\0--enable-source-maps\0')
    expect(readFileSync(join(broker.dir, 'broker.pid'), 'latin1')).to.equal(String(pid))
    await serves(broker.socket)
    await broker.program.stop()
    expect(await broker.program.exited).to.deep.equal({ status: 0, signal: null })
    expect(broker.program.stderr).to.contain('virtbroker version')
  })

  it('does the same when it only prints something, or fails', async () => {
    const env = { ...process.env, ...CALLERS }
    const version = await run([process.execPath, executable, '-V'], { env })
    expect(version.status).to.equal(0)
    expect(version.stdout).to.match(/^virtbrokerd \(virtbroker\)/)
    const failed = await run([process.execPath, executable, '-f', '/nowhere/ö'], { env })
    expect(failed.status).to.equal(1)
    expect(failed.stderr).to.contain('/nowhere/ö')
  })

  it('does the same in the background', async () => {
    const { socket, args, pidFile } = await prepared()
    const env = { ...process.env, ...CALLERS }
    expect((await run([process.execPath, executable, '-d', ...args], { env })).status).to.equal(0)
    const pid = Number(readFileSync(pidFile, 'latin1'))
    cleanup.defer(() => Promise.resolve(existsSync(pidFile) && process.kill(pid)))
    expect(namesForNode(pid)).to.deep.equal([])
    process.kill(pid, 'SIGUSR1')
    await serves(socket)
    expect(listeningPorts(pid)).to.deep.equal([])
    process.kill(pid)
    await waitFor('its end', () => !existsSync(pidFile))
  })

  it('keeps the channel to a caller that is Node', async () => {
    const { socket, args } = await prepared()
    const env = { ...process.env, ...CALLERS, VIRTBROKERD_DAEMON: '1' }
    const child = fork(executable, args, { env, stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: [] })
    const ended = once(child, 'exit')
    cleanup.defer(() => Promise.resolve(child.kill('SIGKILL')))
    const [status] = (await once(child, 'message')) as [{ code: number }]
    expect(status).to.deep.equal({ code: 0 })
    expect(namesForNode(child.pid!)).to.deep.equal([])
    await serves(socket)
    child.kill('SIGTERM')
    expect(await ended).to.deep.equal([0, null])
  })

  it('has neither under npm start', async () => {
    const port = await freePort()
    const program = new Program([process.execPath, main('quickstart.js'), '--port', String(port)], {
      env: { ...process.env, ...CALLERS }
    })
    cleanup.defer(() => program.stop())
    await printed(program, /virtbroker is ready/)
    program.child.kill('SIGUSR1')
    await serves(port)
    expect(namesForNode(program.pid)).to.deep.equal([])
    expect(listeningPorts(program.pid)).to.deep.equal([port])
  })
})
