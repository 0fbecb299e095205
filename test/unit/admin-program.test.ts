import { expect } from 'chai'
import { adminProgram } from '#main/admin/procedures.js'
import type { AdminClient } from '#main/admin/admin-client.js'
import type { AdminServer, BrokerControl } from '#main/admin/ports.js'
import { ADMIN } from '#protocol/procedures.js'
import { XdrReader, XdrWriter } from '#protocol/xdr.js'
import type { ClientRecord } from '#workers/thread/client-record.js'

const MOST = 16_384

/** A server with so many clients, of which nothing else matters. */
function crowded(size: number): AdminServer {
  const listener = { name: 'main', transport: 'unix', readonly: false, auth: 'none' } as const
  const client = (_: unknown, id: number): ClientRecord =>
    ({ id, since: 0, listener, peer: undefined, via: undefined, identity: {}, state: 'serving', opened: undefined })
  const clients = Array.from({ length: size }, client)
  return {
    name: 'virtproxyd', limits: 'broker', tls: false,
    clients: { size, unauthenticated: 0, all: () => clients, get: id => clients[id], details: () => [], disconnect: () => undefined },
    threadPool: () => ({ minWorkers: 1, maxWorkers: 1, nWorkers: 1, freeWorkers: 1, prioWorkers: 0, jobQueueDepth: 0 }),
    changeThreadPool: () => undefined
  }
}

/** The body of the reply. */
function list(size: number, wanted: boolean): XdrReader {
  const procedure = adminProgram([crowded(size)], {} as BrokerControl)[ADMIN.serverListClients]!
  const args = new XdrReader(new XdrWriter().string('virtproxyd').u32(wanted ? 1 : 0).u32(0).finish())
  const reply = new XdrWriter()
  void procedure({ client: {} as AdminClient, args, reply, descriptors: [], replyDescriptors: [] })
  return new XdrReader(reply.finish())
}

describe('the list of clients', () => {
  const idsIn = (reply: XdrReader): number[] =>
    reply.array(MOST, item => {
      item.string()
      const id = Number(item.u64())
      item.i64()
      item.u32()
      return id
    })

  it('has as many as libvirt allows', () => {
    const reply = list(MOST, true)
    expect(idsIn(reply)).to.have.length(MOST)
    expect(reply.u32()).to.equal(MOST)
  })

  it('is refused where there are more, and they can be counted still', () => {
    expect(() => list(MOST + 1, true)).to.throw(`internal error: Too many clients '${MOST + 1}' for limit '${MOST}'`)
    const reply = list(MOST + 1, false)
    expect(idsIn(reply)).to.deep.equal([])
    expect(reply.u32()).to.equal(MOST + 1)
  })
})
