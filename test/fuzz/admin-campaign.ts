import { join } from 'node:path'
import { MESSAGE, PROGRAM } from '#protocol/header.js'
import { BROKER, BROKER_PROGRAM } from '#protocol/messages/broker-admin.js'
import { ADMIN } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { AdminConnection, clientName, optionalText, uints } from '../support/admin-connection.js'
import { AnsweringDriver } from '../support/answering-driver.js'
import { Broker } from '../support/broker.js'
import type { Cleanup } from '../support/cleanup.js'
import { frame } from '../support/frame-socket.js'
import { Random } from '../support/random.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'
import { Bystander, connected, Footprint, PATIENCE_MS, type Campaign, type Outcome } from './campaign.js'

/** Never the serial of a mutated call. */
const LAST_SERIAL = 0x12345678
const CONNECTIONS = 8
/** Of all that is fed to it hardly anything reaches a thread of clients. */
const GROWTH_MIB = 64
const LENGTH = 0
const PROG = 4
const PROC = 12
const TYPE = 16
const SERIAL = 20

const server = (random: Random): XdrWriter => new XdrWriter().string(random.pick(['virtproxyd', 'virtproxyd', 'admin', 'x', '']))
const flags = (): XdrWriter => new XdrWriter().u32(0)
/** Nobody's. */
const id = (random: Random): number => random.integer(1_000_000, 2_000_000)
const limits = (random: Random): Record<string, number> => ({
  nclients_max: random.integer(100, 5000),
  nclients_unauth_max: random.integer(0, 100)
})
const workers = (random: Random): Record<string, number> => ({
  minWorkers: random.integer(0, 4),
  maxWorkers: random.integer(0, 4),
  prioWorkers: random.integer(0, 1)
})
const filter = (random: Random): string => `${random.integer(1, 4)}:nothing${random.integer(0, 9)}`
const filters = (random: Random): string => Array.from({ length: random.integer(0, 5) }, () => filter(random)).join(' ')

const json = (value: object): XdrWriter => new XdrWriter().string(JSON.stringify(value))

/** A good call of each procedure but those that end the connection or the broker. */
const CALLS: readonly (readonly [prog: number, proc: number, args: (random: Random) => XdrWriter])[] = [
  ...([
    [ADMIN.connectOpen, flags],
    [ADMIN.connectGetLibVersion, flags],
    [ADMIN.connectListServers, () => new XdrWriter().u32(1).u32(0)],
    [ADMIN.connectLookupServer, random => server(random).u32(0)],
    [ADMIN.serverGetThreadpoolParameters, random => server(random).u32(0)],
    [ADMIN.serverSetThreadpoolParameters, random => uints('virtproxyd', workers(random))],
    [ADMIN.serverListClients, random => server(random).u32(1).u32(0)],
    [ADMIN.serverLookupClient, random => server(random).u64(BigInt(id(random))).u32(0)],
    [ADMIN.clientGetInfo, random => clientName('virtproxyd', id(random)).u32(0)],
    [ADMIN.clientClose, random => clientName('virtproxyd', id(random)).u32(0)],
    [ADMIN.serverGetClientLimits, random => server(random).u32(0)],
    [ADMIN.serverSetClientLimits, random => uints(random.pick(['virtproxyd', 'admin']), limits(random))],
    [ADMIN.connectGetLoggingOutputs, flags],
    [ADMIN.connectGetLoggingFilters, flags],
    // Where an output goes must not be mutated: that would be files all over the place.
    [ADMIN.connectSetLoggingFilters, random => optionalText(filters(random))],
    [ADMIN.serverUpdateTlsFiles, random => server(random).u32(0)]
  ] as readonly [number, (random: Random) => XdrWriter][]).map(([proc, args]) => [PROGRAM.admin, proc, args] as const),
  ...([
    [BROKER.status, () => json({})],
    [BROKER.clients, random => json({ after: random.integer(0, 100) })],
    [BROKER.closed, random => json({ after: random.integer(0, 1000) })],
    [BROKER.drivers, () => json({})],
    [BROKER.disconnect, random => json({ id: id(random) })],
    [BROKER.resume, () => json({})],
    [BROKER.limits, random => json({ of: random.pick(['broker', 'admin']), maxClients: random.integer(100, 5000) })],
    [BROKER.log, random => json({ filters: filters(random) })],
    [BROKER.follow, random => json({ after: random.integer(0, 1000) })],
    [BROKER.trace, random => json({ id: id(random), thread: random.integer(0, 9) })],
    [BROKER.slow, random => json({ after: random.integer(0, 1000) })],
    [BROKER.procedures, () => json({})],
    [BROKER.connections, random => json({ thread: random.integer(0, 9), after: random.integer(0, 1000) })],
    [BROKER.busiest, () => json({})]
  ] as readonly [number, (random: Random) => XdrWriter][]).map(([proc, args]) => [BROKER_PROGRAM, proc, args] as const)
]

/** Procedures that a mutation must not come to. */
const FORBIDDEN: Readonly<Record<number, readonly number[]>> = {
  [PROGRAM.admin]: [ADMIN.connectSetLoggingOutputs, ADMIN.connectSetDaemonTimeout, ADMIN.connectDaemonShutdown],
  // Loading a file again and again only takes time.
  [BROKER_PROGRAM]: [BROKER.drain, BROKER.reload]
}

/** A call with mistakes in it; framing is right, so that the next one is understood. */
function mutated(random: Random): Buffer {
  const [prog, proc, args] = random.pick(CALLS)
  let bytes = frame({ prog, proc, serial: random.integer(0, 1000) }, args(random).finish())
  for (let count = random.integer(0, 4); count > 0; count--) {
    const at = random.integer(4, bytes.length - 1)
    switch (random.integer(0, 3)) {
      case 0:
        bytes[at] = random.integer(0, 255)
        break
      case 1:
        bytes[at]! ^= 1 << random.integer(0, 7)
        break
      case 2:
        bytes = bytes.subarray(0, Math.max(28, at))
        break
      default:
        bytes = Buffer.concat([bytes, random.bytes(random.integer(1, 40))])
    }
  }
  bytes.writeUInt32BE(bytes.length, LENGTH)
  if (FORBIDDEN[bytes.readUInt32BE(PROG)]?.includes(bytes.readUInt32BE(PROC))) bytes.writeUInt32BE(99, PROC)
  // What is announced beside a frame would be taken out of the next ones.
  if (bytes.readUInt32BE(TYPE) === MESSAGE.callWithFds) bytes.writeUInt32BE(MESSAGE.call, TYPE)
  if (bytes.readUInt32BE(SERIAL) === LAST_SERIAL) bytes.writeUInt32BE(0, SERIAL)
  return bytes
}

/** Mutated calls on the admin socket, beside a client that behaves and an administrator who does. */
export async function attackAdminSocket(cleanup: Cleanup, { seed, enough }: Campaign): Promise<Outcome> {
  const dir = await tempDir(cleanup)
  await AnsweringDriver.listen(cleanup, join(dir, 'virtqemud-sock'))
  const broker = await Broker.start(cleanup, { driver_socket_dir: dir, actor_threads: 2, log_outputs: '3:stderr' })
  const bystanders = [await Bystander.open(broker.tcpPort, 'qemu:///system'), await Bystander.open(broker.socket, 'qemu:///system')]
  const admin = await AdminConnection.to(cleanup, broker)
  const random = new Random(seed)
  const socket = join(broker.dir, 'libvirt-admin-sock')
  let frames = 0
  let closed = 0
  const round = async (choice: Random): Promise<void> => {
    const client = await connected(socket)
    const calls = Array.from({ length: choice.integer(1, 60) }, () => mutated(choice))
    frames += calls.length
    client.write(Buffer.concat([...calls, frame({ prog: PROGRAM.admin, proc: ADMIN.connectGetLibVersion, serial: LAST_SERIAL })]))
    const answered = (): boolean => client.inbox.some(({ type, serial }) => type === MESSAGE.reply && serial === LAST_SERIAL)
    await waitFor('an answer, or the end', () => answered() || client.closed, PATIENCE_MS)
    if (!answered()) closed++
    client.destroy()
  }
  await round(random.fork())
  const footprint = new Footprint(broker, GROWTH_MIB)
  while (!enough(frames)) {
    await Promise.all(Array.from({ length: CONNECTIONS }, () => round(random.fork())))
    // One that has the right names and numbers.
    await admin.setLimits({ nclients_max: 5000, nclients_unauth_max: 20 })
    await admin.setLimits({ nclients_max: 5000, nclients_unauth_max: 0 }, 'admin')
    await footprint.restored()
  }
  for (const bystander of bystanders) await bystander.stop()
  const calls = bystanders.reduce((sum, bystander) => sum + bystander.calls, 0)
  admin.client.destroy()
  const report = `${frames} frames, ${closed} connections were closed for them; ${footprint.describe}; bystanders: ${calls} calls`
  await footprint.leave()
  return { frames, report }
}
