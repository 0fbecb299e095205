import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { STATUS } from '#protocol/header.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { Broker } from '../support/broker.js'
import type { Cleanup } from '../support/cleanup.js'
import { Program } from '../support/processes.js'
import { residentMiB } from '../support/process-state.js'
import { RawClient } from '../support/raw-client.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'
import { DEEDS, type Deed } from './costly-deeds.js'
import type { Waits } from './time-bystander.js'

/** Hostile peers at a time. */
const PEERS = 20
/** What a bystander on the same thread may wait beyond the machine's noise. */
const MOST_WAIT_MS = 250
/** What the broker may grow by while it is attacked, and be larger for each byte that it was sent. */
const GROWTH_MIB = 150
/** What may come into the log beside a thousandth of what attackers sent, in bytes. */
const LOG_BYTES = 256 * 1024

export interface TimeCampaign {
  /** How long each deed. */
  readonly seconds: number
  /** Of a deed's name and its attacker. */
  readonly only?: RegExp | undefined
  readonly report?: (line: string) => void
}

/**
 * Hostile peers do what costs most, one thing after the other, while a client on the same thread makes a call now and
 * then. Throws where that one waits too long, or where the broker's memory or log grow too much.
 */
export async function attackInTime(cleanup: Cleanup, { seconds, only, report }: TimeCampaign): Promise<void> {
  const dir = await tempDir(cleanup)
  const driver = join(dir, 'virtqemud-sock')
  const stage = await TimeStage.start(cleanup, dir, driver)
  for (const deed of DEEDS) {
    if (only !== undefined && !only.test(describe(deed))) continue
    report?.(await stage.perform(deed, seconds))
  }
}

const describe = ({ who, name }: Deed): string => `${who}: ${name}`

class TimeStage {
  private constructor(
    readonly broker: Broker,
    readonly bystander: Program,
    readonly answers: Waits[]
  ) {}

  static async start(cleanup: Cleanup, dir: string, driver: string): Promise<TimeStage> {
    const broker = await Broker.start(cleanup, { driver_socket_dir: dir, actor_threads: 1, auth_tcp: 'sasl' })
    const script = new URL('time-bystander.js', import.meta.url).pathname
    const bystander = new Program([process.execPath, script, broker.socket, driver])
    cleanup.defer(() => bystander.stop('SIGKILL'))
    const answers: Waits[] = []
    createInterface(bystander.child.stdout).on('line', line => answers.push(JSON.parse(line) as Waits))
    const stage = new TimeStage(broker, bystander, answers)
    await waitFor('the driver', async () => RawClient.connect(cleanup, driver).then(() => true, () => false))
    await stage.#waits('begin')
    return stage
  }

  /** Returns a line about it. */
  async perform(deed: Deed, seconds: number): Promise<string> {
    const { program } = this.broker
    await waitFor('calls of the bystander', async () => (await this.#waits('next')).calls > 0)
    const before = { memory: residentMiB(program.pid), log: program.stderr.length }
    const until = performance.now() + 1000 * seconds
    let peak = 0
    const watch = setInterval(() => (peak = Math.max(peak, residentMiB(program.pid))), 50)
    const sent = await Promise.all(Array.from({ length: PEERS }, () => this.#attack(deed, until)))
    clearInterval(watch)
    // A call that has not been answered yet is to count.
    let waits = await this.#waits('next')
    await waitFor('one more call', async () => {
      const more = await this.#waits('next')
      waits = {
        ...more,
        calls: waits.calls + more.calls,
        worst: Math.max(waits.worst, more.worst),
        noise: Math.max(waits.noise, more.noise)
      }
      return more.calls > 0 || more.failure !== undefined
    }, 60_000)
    const bytes = sent.reduce((sum, count) => sum + count, 0)
    const grown = peak - before.memory
    const logged = program.stderr.length - before.log
    const line = `${describe(deed)}: waited ${waits.worst.toFixed(0)} ms at most (noise ${waits.noise.toFixed(0)}), ` +
      `${waits.calls} calls; sent ${(bytes / 2 ** 20).toFixed(1)} MiB, memory +${grown.toFixed(0)} MiB, log +${logged} bytes`
    const wrong = waits.worst - waits.noise > MOST_WAIT_MS || waits.failure !== undefined ||
      grown > GROWTH_MIB || logged > LOG_BYTES + bytes / 1000 || program.ended
    if (wrong) throw new Error(`${line}${waits.failure === undefined ? '' : `; ${waits.failure}`}`)
    return line
  }

  async #waits(line: 'begin' | 'next'): Promise<Waits> {
    this.bystander.child.stdin.write(`${line}\n`)
    return waitFor('the bystander', () => {
      if (this.bystander.ended) throw new Error(this.bystander.describe())
      return this.answers.shift()
    }, 60_000)
  }

  /** Returns how many bytes went. */
  async #attack(deed: Deed, until: number): Promise<number> {
    let sent = 0
    while (performance.now() < until) {
      const socket = await this.#arrive(deed)
      while (!socket.destroyed && socket.writable && performance.now() < until) {
        sent += await write(socket, deed.bytes, until)
        if (deed.once === true) socket.end()
      }
      socket.destroy()
    }
    return sent
  }

  /** A connection that reads nothing more of what it is sent than it has to. */
  async #arrive({ who }: Deed): Promise<Socket> {
    const where = who === 'stranger' ? { port: this.broker.tcpPort, host: '127.0.0.1' } : { path: this.broker.socket }
    const socket = connect(where)
    socket.on('error', () => undefined)
    await new Promise<void>(resolve => socket.once('connect', resolve).once('close', () => resolve()))
    if (who === 'member' && !socket.destroyed) {
      const client = new RawClient(socket)
      const serial = client.post(REMOTE.connectOpen, encodeOpen({ name: 'qemu:///system', flags: 0 }))
      const { status } = await client.next({ serial }, 60_000)
      if (status !== STATUS.ok) throw new Error('an attacker could not open')
      socket.removeAllListeners('data')
    }
    socket.on('data', () => undefined)
    return socket
  }
}

/** Resolves when the bytes are out, the socket is closed, or time is over. Returns how many have gone. */
async function write(socket: Socket, bytes: Buffer, until: number): Promise<number> {
  const gone = await new Promise<boolean>(resolve => {
    const done = (success: boolean): void => {
      clearTimeout(timer)
      socket.off('close', closed)
      resolve(success)
    }
    const closed = (): void => done(false)
    const timer = setTimeout(closed, Math.max(0, until - performance.now()))
    socket.once('close', closed)
    socket.write(bytes, error => done(error === undefined || error === null))
  })
  await sleep(0)
  return gone ? bytes.length : 0
}
