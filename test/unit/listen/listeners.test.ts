import { expect } from 'chai'
import { Listeners } from '#main/listen/listeners.js'
import type { NetworkPlace } from '#main/listen/places.js'
import type { ForeignCloser } from '#workers/os/foreign-close.js'
import { close } from '#workers/os/libc.js'
import type { ListenerHandler } from '#workers/os/listener.js'
import { listenTcp, type ListeningSocket } from '#workers/os/listening-sockets.js'
import type { Poller } from '#workers/os/poller.js'
import { Cleanup } from '../../support/cleanup.js'
import { freePort } from '../../support/free-port.js'
import { canConnect } from '../../support/sockets.js'

const kindOf = (name: 'tcp' | 'tls') => ({ name, transport: name, readonly: false, auth: 'none' }) as const
const BACKLOG = 8
const place = (name: 'tcp' | 'tls', port: number, ip: string): NetworkPlace => ({ name, service: String(port), port, ips: [ip] })

describe('listeners of which one cannot listen again', () => {
  const cleanup = new Cleanup()
  let listeners: Listeners
  let lines: string[]
  let port: number

  beforeEach(async () => {
    lines = []
    listeners = new Listeners({
      poller: { add: () => 0, remove: () => undefined, forget: () => undefined } as unknown as Poller,
      closer: {} as ForeignCloser,
      logger: { info: (_, text) => void lines.push(text), log: (kind, _, text) => void lines.push(`${kind}: ${text}`) },
      handlerOf: () => ({}) as ListenerHandler,
      newKind: kindOf
    })
    port = await freePort()
    const gone = { fd: -1, place: `127.0.0.2:${port}`, shared: false, removeFile: () => undefined }
    listeners.open([gone, listenTcp('127.0.0.1', port, BACKLOG)].map(socket => ({ kind: kindOf('tcp'), socket })))
    cleanup.defer(() => Promise.resolve(listeners.end().forEach(listener => listener.close())))
    lines = []
  })
  afterEach(() => cleanup.run())

  function hold(socket: ListeningSocket): void {
    cleanup.defer(() => Promise.resolve(void close(socket.fd)))
  }

  it('are as they were but for that one when a change fails, and say so', async () => {
    const taken = await freePort()
    hold(listenTcp('127.0.0.1', taken, BACKLOG))
    // All addresses take the place of those that are there, before it turns out that another port cannot be had.
    const wanted = [place('tcp', port, '0.0.0.0'), place('tls', taken, '127.0.0.1')]
    expect(() => listeners.change(wanted, BACKLOG)).to.throw(/^Unable to bind to port \d+ of 127.0.0.1: Address already in use/)
    const at = `127.0.0.2:${port}`
    expect(lines).to.deep.equal([
      `listener-not-again: Failed to listen on '${at}': Bad file descriptor`,
      `no longer listening on ${at}`
    ])
    expect(await canConnect(port)).to.equal(true)
    // It is had anew as soon as that can be.
    const change = listeners.change([place('tcp', port, '127.0.0.1'), place('tcp', port, '127.0.0.2')], BACKLOG)
    expect(change.added.map(({ socket }) => socket.place)).to.deep.equal([at])
    change.undo()
  })

  it('get another backlog, all but that one, which stays', () => {
    listeners.setBacklog(() => 2 * BACKLOG)
    expect(lines).to.deep.equal([`listener-not-again: Failed to listen on '127.0.0.2:${port}': Bad file descriptor`])
    const left = listeners.end()
    for (const listener of left) listener.close()
    expect(left.map(({ place }) => place)).to.deep.equal([`127.0.0.2:${port}`, `127.0.0.1:${port}`])
  })
})
