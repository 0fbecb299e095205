import { expect } from 'chai'
import { proxied } from '#workers/arrival/proxied.js'
import { ProxiedIdentity } from '#workers/arrival/proxied-identity.js'
import type { Found } from '#workers/arrival/arriving-client.js'
import { close, EAGAIN, errno, MSG_DONTWAIT, recv, sendBytes } from '#workers/os/libc.js'
import type { FromActor, ToActor } from '#workers/thread/control.js'
import { Counters } from '#workers/thread/counters.js'
import { Cleanup } from '../support/cleanup.js'
import { commonName, craft } from '../support/crafted-certificates.js'
import { MemoryActor, OWNER } from '../support/memory-actor.js'
import { sslValue, tlv, v2 } from '../support/proxy-headers.js'
import { threadIo } from '../support/thread-io.js'
import { unixPair } from '../support/unix-pair.js'
import { waitFor } from '../support/waiting.js'

/** Its certificate was shown in this connection, and verified. */
const HEADER = v2({ from: '198.51.100.7' }, sslValue(3, 0, tlv(0x28, craft({ subject: commonName('ann') }))))

describe('a client whose proxy says that it came over TLS', () => {
  const cleanup = new Cleanup()
  afterEach(() => cleanup.run())

  async function connected(): Promise<{ fd: number; client: number }> {
    const [fd, client] = await unixPair(cleanup)
    cleanup.defer(() => Promise.resolve(close(client)))
    sendBytes(client, HEADER, HEADER.length, MSG_DONTWAIT)
    return { fd, client }
  }

  for (const auditing of [false, true]) {
    it(`is known where it is, and as what it counts, before it is in${auditing ? ', with an audit' : ''}`, async () => {
      const thread = new MemoryActor({ auditing, proxiedTls: { auth: 'none', allowedNames: undefined } })
      cleanup.defer(() => thread.stop())
      const { fd } = await connected()
      const told: FromActor[number][] = []
      thread.work.on('message', (news: FromActor) => told.push(...news))
      thread.ledger.give(fd, OWNER)
      const listener = { name: 'tcp', transport: 'tcp', readonly: false, auth: 'sasl' } as const
      const handOver = { id: 1, fd, since: 0, listener, peer: '10.0.0.5:1', via: '10.0.0.5:1' }
      thread.work.postMessage({ handOvers: [handOver], evictions: [] } satisfies ToActor)
      await waitFor('it to be in', () => told.some(({ kind }) => kind === 'client'))
      expect(told.map(({ kind }) => kind)).to.deep.equal(['peer', 'listener', 'client'])
      expect(told[0]).to.include({ id: 1, peer: '198.51.100.7:4711' })
      expect(told[1]).to.deep.include({ id: 1, listener: { ...listener, transport: 'tls', auth: 'none' } })
      expect(told[2]).to.include({ id: 1, state: 'serving' }).and.to.have.nested.property('identity.x509DistinguishedName', 'CN=ann')
    })
  }

  it('proves by its own handshake who it is where that is still to come, and is sent nothing before', async () => {
    const io = threadIo(cleanup)
    const { fd, client } = await connected()
    cleanup.defer(() => Promise.resolve(close(fd)))
    const identity = new ProxiedIdentity({ auth: 'none', allowedNames: undefined })
    const found = await new Promise<Found>((resolve, reject) => {
      proxied(io, new Counters(), () => identity)({
        fd,
        listener: { name: 'tls', transport: 'tls', readonly: false, auth: 'none' },
        heard: () => undefined,
        cameFrom: peer => expect(peer).to.equal('198.51.100.7:4711'),
        log: () => undefined,
        passed: resolve,
        close: why => reject(new Error(why))
      }).start()
    })
    expect(found).to.deep.equal({})
    expect(recv(client, io.buffer.address, 1, MSG_DONTWAIT)).to.equal(-1)
    expect(errno()).to.equal(EAGAIN)
  })
})
