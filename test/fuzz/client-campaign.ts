import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MESSAGE } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { AnsweringDriver } from '../support/answering-driver.js'
import { Broker } from '../support/broker.js'
import type { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { frame } from '../support/frame-socket.js'
import { Random } from '../support/random.js'
import type { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'
import { Bystander, connected, Footprint, PATIENCE_MS, type Campaign, type Outcome } from './campaign.js'
import { FrameCount } from './frame-count.js'
import { hostileMove } from './hostile-client.js'

/** Hostile clients at a time. */
const CLIENTS = 10
/** Never the serial of a move. */
const LAST_SERIAL = 0x12345678

interface Course {
  broker: Broker
  /** How often each move was made. */
  done: Map<string, number>
  frames: FrameCount
}

/**
 * Hostile clients against a real broker with a driver daemon that answers everything. Returns what was done. Those who
 * behave are of the same identities, and each has a driver connection of its own if `conf` says nothing else.
 */
export async function attackWithClients(
  cleanup: Cleanup, { seed, enough }: Campaign, conf: Conf = { driver_sharing: 'off' }
): Promise<Outcome> {
  const dir = await tempDir(cleanup)
  const driver = await AnsweringDriver.listen(cleanup, join(dir, 'virtqemud-sock'))
  const broker = await Broker.start(cleanup, { driver_socket_dir: dir, actor_threads: 2, client_stall_timeout: 2, ...conf })
  const random = new Random(seed)
  const events = setInterval(() => driver.emitEvents(), 50)
  const bystanders = [
    await Bystander.open(broker.tcpPort, 'qemu:///system'),
    await Bystander.open(broker.socket, 'qemu:///system')
  ]
  const course: Course = { broker, done: new Map(), frames: new FrameCount() }
  try {
    // What a thread needs once is there after one round.
    await round(course, random)
    await sleep(100)
    const footprint = new Footprint(broker)
    let rounds = 0
    while (!enough(course.frames.total)) {
      await round(course, random)
      rounds++
      await footprint.restored()
      for (const { failure } of bystanders) if (failure !== undefined) throw failure
    }
    for (const bystander of bystanders) await bystander.stop()
    const moves = [...course.done.values()].reduce((sum, count) => sum + count, 0)
    const served = bystanders.map(({ calls, slowestMs }) => `${calls} calls, slowest ${slowestMs.toFixed(0)} ms`)
    const { total: frames, describe } = course.frames
    const footprintAtEnd = footprint.describe
    await footprint.leave()
    return {
      frames,
      report: `${rounds} rounds, ${moves} moves, ${describe}, ${driver.calls} calls at the daemon; ` +
        `${footprintAtEnd}; bystanders: ${served.join('; ')}`
    }
  } finally {
    clearInterval(events)
  }
}

async function round(course: Course, random: Random): Promise<void> {
  const choices = Array.from({ length: CLIENTS }, () => random.fork())
  await Promise.all(choices.map(choice => attack(course, choice)))
}

/** One hostile client from its first byte to its end, which it may choose itself. */
async function attack({ broker, done, frames }: Course, random: Random): Promise<void> {
  const client = await connected(random.pick([broker.tcpPort, broker.socket, broker.roSocket]))
  frames.watch(client)
  if (random.chance(0.8)) {
    client.send({ proc: REMOTE.connectOpen, serial: 0 }, encodeOpen({ name: 'qemu:///system', flags: 0 }))
    if (random.chance(0.6)) await client.next({ serial: 0 }, PATIENCE_MS)
  }
  if (random.chance(0.1)) client.stall()
  const moved: string[] = []
  let framed = true
  for (let moves = random.integer(1, 12); moves > 0 && framed && !client.closed; moves--) {
    const [name, after] = hostileMove(client, random)
    moved.push(name)
    done.set(name, (done.get(name) ?? 0) + 1)
    framed = after === 'framed'
    if (random.chance(0.5)) await sleep(random.integer(0, 8))
    client.inbox.length = 0
  }
  client.goOn()
  if (framed) await expectAnswer(client, moved)
  if (random.chance(0.3)) client.socket.end()
  if (random.chance(0.3)) await sleep(random.integer(0, 20))
  client.destroy()
}

/** A client that has sent nothing but whole frames is not stuck, or it has been closed. */
async function expectAnswer(client: RawClient, moved: readonly string[]): Promise<void> {
  client.write(frame({ proc: REMOTE.authList, serial: LAST_SERIAL }))
  const answered = (): boolean => {
    const found = client.inbox.some(({ type, serial }) => type === MESSAGE.reply && serial === LAST_SERIAL)
    client.inbox.length = 0
    return found || client.closed
  }
  await waitFor('an answer', answered, PATIENCE_MS).catch((error: unknown) => {
    throw new Error(`a client is stuck after: ${moved.join(', ')}`, { cause: error })
  })
}
