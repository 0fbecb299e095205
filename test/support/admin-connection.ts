import { join } from 'node:path'
import { expect } from 'chai'
import { decodeError, type RemoteError } from '#protocol/errors.js'
import { PROGRAM, STATUS } from '#protocol/header.js'
import { ADMIN } from '#protocol/procedures.js'
import { readParams, uintParam, writeParams, type TypedParam } from '#protocol/typed-params.js'
import { XdrReader, XdrWriter } from '#protocol/xdr.js'
import type { Broker } from './broker.js'
import type { Cleanup } from './cleanup.js'
import type { Frame } from './frame-socket.js'
import { RawClient } from './raw-client.js'
import { canConnect } from './sockets.js'
import { waitFor } from './waiting.js'

const HEADER = { prog: PROGRAM.admin }
const NO_CALLS: Record<string, unknown> = { calls_in_flight: 0, calls_waiting: 0 }

export interface ListedClient { id: number; since: number; transport: number }

/** A client of the admin socket that speaks the protocol by hand. */
export class AdminConnection {
  private constructor(readonly client: RawClient) {}

  static async to(cleanup: Cleanup, where: Broker | string): Promise<AdminConnection> {
    const path = typeof where === 'string' ? where : join(where.dir, 'libvirt-admin-sock')
    // It is the last that a broker listens on.
    await waitFor('the admin socket', () => canConnect(path))
    return new AdminConnection(await RawClient.connect(cleanup, path))
  }

  call(proc: number, args = new XdrWriter(4)): Promise<Frame> {
    return this.client.call(proc, args.finish(), HEADER)
  }

  post(proc: number, args = new XdrWriter(4)): number {
    return this.client.post(proc, args.finish(), HEADER)
  }

  /** The body of a reply that must be good. */
  async ask(proc: number, args?: XdrWriter): Promise<XdrReader> {
    const { status, payload } = await this.call(proc, args)
    if (status !== STATUS.ok) throw new Error(`refused: ${decodeError(payload).message}`)
    return new XdrReader(payload)
  }

  /** The error of a reply that must be bad. */
  async refusal(proc: number, args?: XdrWriter): Promise<RemoteError> {
    const { status, payload } = await this.call(proc, args)
    expect(status, 'status').to.equal(STATUS.error)
    return decodeError(payload)
  }

  async params(proc: number, args: XdrWriter): Promise<TypedParam[]> {
    return readParams(await this.ask(proc, args), 64)
  }

  /** By name. */
  async limits(server = 'virtproxyd'): Promise<Record<string, number>> {
    const params = await this.params(ADMIN.serverGetClientLimits, new XdrWriter().string(server).u32(0))
    return Object.fromEntries(params.map(({ field, value }) => [field, Number(value)]))
  }

  async setLimits(limits: Record<string, number>, server = 'virtproxyd'): Promise<void> {
    await this.ask(ADMIN.serverSetClientLimits, uints(server, limits))
  }

  async clients(server = 'virtproxyd'): Promise<ListedClient[]> {
    return clientsIn(await this.ask(ADMIN.serverListClients, listOf(server)), server)
  }

  /** Those too have gone by which the test has seen that the broker is there. */
  async untilNobody(): Promise<void> {
    await waitFor('nobody', async () => (await this.clients()).length === 0)
  }

  /** So many calls of clients have been taken, and are not answered. */
  async untilCalled(count: number): Promise<void> {
    await waitFor(`${count} calls`, async () => {
      let calls = 0
      for (const { id } of await this.clients()) {
        // Who has gone since has none.
        const { calls_in_flight: inFlight, calls_waiting: waiting } = await this.info(id).catch(() => NO_CALLS)
        calls += Number(inFlight) + Number(waiting)
      }
      return calls === count
    })
  }

  async info(id: number, server = 'virtproxyd'): Promise<Record<string, unknown>> {
    const params = await this.params(ADMIN.clientGetInfo, clientName(server, id).u32(0))
    return Object.fromEntries(params.map(({ field, value }) => [field, value]))
  }

  async disconnect(id: number, server = 'virtproxyd'): Promise<void> {
    await this.ask(ADMIN.clientClose, clientName(server, id).u32(0))
  }

  async setFilters(text: string): Promise<void> {
    await this.ask(ADMIN.connectSetLoggingFilters, optionalText(text))
  }
}

export const clientName = (server: string, id: number): XdrWriter => new XdrWriter().string(server).u64(BigInt(id)).i64(0n).u32(0)

export const listOf = (server: string): XdrWriter => new XdrWriter().string(server).u32(1).u32(0)

/** Of the reply to SERVER_LIST_CLIENTS. */
export function clientsIn(reply: XdrReader, server: string): ListedClient[] {
  const clients = reply.array(20_000, item => {
    const name = item.string()
    if (name !== server) throw new Error(`a client of ${name} in the list of ${server}`)
    return { id: Number(item.u64()), since: Number(item.i64()), transport: item.u32() }
  })
  expect(reply.u32()).to.equal(clients.length)
  return clients
}

export const optionalText = (text: string | undefined, flags = 0): XdrWriter =>
  new XdrWriter().optional(text, (xdr, value) => void xdr.string(value)).u32(flags)

export const uints = (server: string, values: Record<string, number>, flags = 0): XdrWriter =>
  writeParams(new XdrWriter().string(server), Object.entries(values).map(([field, value]) => uintParam(field, value))).u32(flags)
