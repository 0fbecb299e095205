import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Notifier } from '#main/life/notifier.js'
import { ServiceManager } from '#main/life/service-manager.js'
import { DatagramReceiver } from '../../support/datagram-receiver.js'
import { waitFor } from '../../support/waiting.js'

describe('what systemd is told', () => {
  let dir: string
  let receiver: DatagramReceiver
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'virtbroker-notify-'))
    receiver = new DatagramReceiver(join(dir, 'notify'))
  })
  afterEach(() => {
    receiver.close()
    rmSync(dir, { recursive: true })
  })

  const next = (): Promise<string> => waitFor('a notification', () => receiver.receive())
  const state = {
    clients: 0, well: true,
    status: (draining: boolean) => `${state.clients} clients${draining ? ', 2 calls' : ''}`,
    stopMs: () => 50_000,
    healthy: () => state.well
  }

  const serving = (manager: ServiceManager): ServiceManager => {
    manager.follow(state)
    manager.entered('serving')
    return manager
  }
  const stop = (manager: ServiceManager): void => {
    for (const last of ['finishing', 'stopping', 'stopped'] as const) manager.entered(last)
  }

  it('is the start, with its outcome, and the stop', async () => {
    const manager = serving(new ServiceManager(new Notifier(receiver.path)))
    expect(await next()).to.equal('READY=1\nSTATUS=0 clients')
    stop(manager)
    expect(await next()).to.equal('STOPPING=1\nSTATUS=draining, 0 clients, 2 calls\nEXTEND_TIMEOUT_USEC=50000000')
    expect(await next()).to.equal('STATUS=stopping')
    expect(receiver.receive()).to.equal(undefined)
    new ServiceManager(new Notifier(receiver.path)).failed('no\nsuch group')
    expect(await next()).to.equal('STATUS=could not start: no such group')
  })

  it('is the status when it has changed', async () => {
    const manager = serving(new ServiceManager(new Notifier(receiver.path), 0, 5))
    await next()
    state.clients = 3
    expect(await next()).to.equal('STATUS=3 clients')
    state.clients = 0
    expect(await next()).to.equal('STATUS=0 clients')
    manager.entered('draining')
    expect(await next()).to.equal('STATUS=draining, 0 clients, 2 calls')
    manager.entered('finishing')
    expect(await next()).to.match(/^STOPPING=1\n/)
    state.clients = 1
    expect(await next()).to.equal('STATUS=draining, 1 clients, 2 calls')
    state.clients = 0
    stop(manager)
  })

  it('is that it lives, as long as it does', async () => {
    const manager = serving(new ServiceManager(new Notifier(receiver.path), 15))
    await next()
    expect([await next(), await next()]).to.deep.equal(['WATCHDOG=1', 'WATCHDOG=1'])
    state.well = false
    while (receiver.receive() !== undefined);
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(receiver.receive()).to.equal(undefined)
    state.well = true
    expect(await next()).to.equal('WATCHDOG=1')
    stop(manager)
  })

  it('is a reload, and that it is over', async () => {
    const manager = serving(new ServiceManager(new Notifier(receiver.path)))
    await next()
    const before = process.hrtime.bigint() / 1000n
    manager.entered('reloading')
    const [, time] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(await next()) ?? []
    expect(BigInt(time!) >= before).to.equal(true)
    manager.entered('serving')
    expect(await next()).to.equal('READY=1')
    stop(manager)
  })

  it('arrives in its order though there is no room at first', async () => {
    const notifier = new Notifier(receiver.path)
    const count = 60
    for (let i = 0; i < count; i++) notifier.state(`${i}`)
    for (let i = 0; i < count; i++) expect(await next()).to.equal(`${i}`)
    notifier.close()
  })

  it('comes by the variables of systemd, which no other process gets', async () => {
    const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: receiver.path, WATCHDOG_USEC: '30000', WATCHDOG_PID: '77', HOME: '/' }
    const manager = serving(ServiceManager.of(env, 77))
    expect(env).to.deep.equal({ HOME: '/' })
    expect([await next(), await next()]).to.deep.equal(['READY=1\nSTATUS=0 clients', 'WATCHDOG=1'])
    stop(manager)
  })

  it('is nothing of a watchdog that is another process\'s, and nothing at all without a socket', async () => {
    const manager = serving(ServiceManager.of({ NOTIFY_SOCKET: receiver.path, WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' }, 77))
    await next()
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(receiver.receive()).to.equal(undefined)
    stop(manager)
    for (const socket of ['vsock:2:9999', '']) {
      const other = serving(ServiceManager.of({ NOTIFY_SOCKET: socket }))
      other.entered('reloading')
      stop(other)
    }
  })
})
