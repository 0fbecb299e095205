/**
 * Loaded into a broker under test with `node --import`: the sessions of its first two TLS clients cannot be made, of the
 * first because its transport cannot be, of the second for another reason. Says when OpenSSL's part of one is freed.
 */
import { writeSync } from 'node:fs'
import { Poller } from '#workers/os/poller.js'
import { ClientSession } from '#workers/session/client-session.js'
import { SecureChannel } from '#workers/tls/secure-channel.js'
import { TlsTransport } from '#workers/tls/tls-transport.js'

const own = <T>(prototype: object, name: string): T => Object.getOwnPropertyDescriptor(prototype, name)!.value as T

const add = own<typeof Poller.prototype.add>(Poller.prototype, 'add')
interface Property {
  get: (this: ClientSession) => unknown
}
const { get: authenticating } = Object.getOwnPropertyDescriptor(ClientSession.prototype, 'authenticating') as Property
const free = own<typeof SecureChannel.prototype.free>(SecureChannel.prototype, 'free')
let clients = 0

Poller.prototype.add = function (fd, events, target) {
  if (target instanceof TlsTransport && ++clients === 1) throw new Error('a transport cannot be made')
  return add.call(this, fd, events, target)
}

// It is asked for when the transport has just been made.
Object.defineProperty(ClientSession.prototype, 'authenticating', {
  get(this: ClientSession): unknown {
    if (this.record.listener.transport === 'tls' && clients === 2) throw new Error('a session cannot be made')
    return authenticating.call(this)
  }
})

SecureChannel.prototype.free = function () {
  writeSync(2, 'a channel is freed\n')
  free.call(this)
}
