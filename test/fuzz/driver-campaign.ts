import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeFeature, encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { AnsweringDriver, downloadArguments } from '../support/answering-driver.js'
import { Broker } from '../support/broker.js'
import type { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { frame } from '../support/frame-socket.js'
import { Random } from '../support/random.js'
import type { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'
import { Bystander, connected, Footprint, PATIENCE_MS, type Campaign, type Outcome } from './campaign.js'
import { HostileDriver } from './hostile-driver.js'

const CLIENTS = 10
/** Registers for an event of all domains. */
const ofAll = (event: number): Buffer => new XdrWriter(8).i32(event).bool(false).finish()
/** How long the daemon may play with its clients before its process ends. */
const ROUND_MS = 250

/**
 * A hostile driver daemon behind a real broker, with clients that behave: in the end, when the daemon's process is
 * gone, each of their calls has been answered once, or the connection is closed. Returns what was done.
 */
export async function attackWithDaemon(cleanup: Cleanup, { seed, enough }: Campaign, conf: Conf = {}): Promise<Outcome> {
  const dir = await tempDir(cleanup)
  const random = new Random(seed)
  const hostile = await HostileDriver.listen(cleanup, join(dir, 'virtqemud-sock'), random.fork())
  await AnsweringDriver.listen(cleanup, join(dir, 'virtlxcd-sock'))
  const broker = await Broker.start(cleanup, {
    driver_socket_dir: dir, actor_threads: 2, keepalive_interval: 1, keepalive_count: 3, driver_connect_timeout: 2,
    driver_open_timeout: 2, ...conf
  })
  const bystanders = [
    await Bystander.open(broker.tcpPort, 'lxc:///system'),
    await Bystander.open(broker.socket, 'lxc:///system')
  ]
  await round(broker, hostile, random)
  const footprint = new Footprint(broker)
  let rounds = 0
  let answered = 0
  while (!enough(hostile.frames.total)) {
    answered += await round(broker, hostile, random)
    rounds++
    await footprint.restored()
    for (const { failure } of bystanders) if (failure !== undefined) throw failure
  }
  for (const bystander of bystanders) await bystander.stop()
  const deeds = [...hostile.done.values()].reduce((sum, count) => sum + count, 0)
  const served = bystanders.map(({ calls, slowestMs }) => `${calls} calls, slowest ${slowestMs.toFixed(0)} ms`)
  const { total: frames, describe } = hostile.frames
  const footprintAtEnd = footprint.describe
  await footprint.leave()
  return {
    frames,
    report: `${rounds} rounds, ${deeds} deeds, ${describe}, ${answered} calls answered; ` +
      `${footprintAtEnd}; bystanders: ${served.join('; ')}`
  }
}

/** Returns the number of calls that were answered. */
async function round(broker: Broker, hostile: HostileDriver, random: Random): Promise<number> {
  hostile.course = []
  const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, index) =>
    connected(index % 2 === 0 ? broker.tcpPort : broker.socket)))
  const tallies = clients.map(client => new Tally(client))
  await Promise.all(tallies.map(async tally => {
    const course = random.fork()
    await tally.open(course)
    const end = performance.now() + ROUND_MS
    while (performance.now() < end && !tally.client.closed) {
      tally.act(course)
      await sleep(course.integer(0, 10))
    }
  }))
  // The daemon's end must be noticed by every connection, those that are opened meanwhile too.
  const knell = setInterval(() => hostile.hangUp(), 100)
  try {
    hostile.hangUp()
    for (const tally of tallies) await tally.settled(hostile.course)
  } finally {
    clearInterval(knell)
    for (const { client } of tallies) client.destroy()
  }
  return tallies.reduce((sum, { answers }) => sum + answers, 0)
}

/** A client that behaves, and remembers which calls it has made. */
class Tally {
  answers = 0
  readonly #waiting = new Set<number>()
  #serial = 0

  constructor(readonly client: RawClient) {}

  async open(random: Random): Promise<void> {
    if (random.chance(0.5)) this.#call(REMOTE.connectSupportsFeature, encodeFeature(10))
    this.#call(REMOTE.connectOpen, encodeOpen({ name: 'qemu:///system', flags: 0 }))
    await waitFor('CONNECT_OPEN', () => this.#count() === 0 || this.client.closed, PATIENCE_MS)
  }

  act(random: Random): void {
    this.#count()
    const opened = this.#serial
    switch (random.integer(0, 6)) {
      case 0:
        this.#call(REMOTE.storageVolDownload, downloadArguments(3, 1000))
        return
      case 1:
        this.#call(REMOTE.storageVolUpload, downloadArguments(0, 0))
        this.client.send(
          { proc: REMOTE.storageVolUpload, type: MESSAGE.stream, serial: opened, status: STATUS.continue },
          random.bytes(500)
        )
        return
      case 2:
        this.#call(REMOTE.connectDomainEventCallbackRegisterAny, random.chance(0.3) ? random.bytes(8) : ofAll(random.integer(0, 30)))
        return
      case 3:
        for (let i = random.integer(1, 20); i > 0; i--) this.#call(REMOTE.domainGetXmlDesc, random.bytes(40))
        return
      case 4:
        this.#call(random.pick([REMOTE.connectRegisterCloseCallback, REMOTE.connectUnregisterCloseCallback]))
        return
      case 5:
        this.#call(REMOTE.domainGetXmlDesc, Buffer.alloc(random.integer(1, 100_000)))
        return
      default:
        this.#call(REMOTE.domainGetInfo, random.bytes(20))
    }
  }

  /** Every call has its answer, or there is nobody to give it to. */
  async settled(course: readonly string[]): Promise<void> {
    this.client.write(frame({ proc: REMOTE.authList, serial: this.#serial }))
    this.#waiting.add(this.#serial++)
    await waitFor('answers', () => this.#count() === 0 || this.client.closed, PATIENCE_MS).catch((error: unknown) => {
      const missing = `serials ${[...this.#waiting].join(' ')} of ${this.#serial} were not answered`
      const rest = `${this.client.unfinished} bytes of a frame have come`
      throw new Error(`${missing}, ${rest} after: ${course.join(', ')}`, { cause: error })
    })
  }

  #call(proc: number, payload?: Uint8Array): void {
    this.#waiting.add(this.#serial)
    this.client.post(proc, payload, { serial: this.#serial++ })
  }

  /** Returns how many calls have no answer yet. Throws if one was answered twice. */
  #count(): number {
    for (const { type, serial } of this.client.inbox) {
      if (type !== MESSAGE.reply && type !== MESSAGE.replyWithFds) continue
      if (!this.#waiting.delete(serial)) throw new Error(`an answer to ${serial}, which does not wait for one`)
      this.answers++
    }
    this.client.inbox.length = 0
    return this.#waiting.size
  }
}
