import { join } from 'node:path'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { MESSAGE, STATUS } from '#protocol/header.js'
import { encodeFeature, encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import { AnsweringDriver, downloadArguments, downloadPacket } from '../support/answering-driver.js'
import { Broker } from '../support/broker.js'
import type { Cleanup } from '../support/cleanup.js'
import { frame } from '../support/frame-socket.js'
import { Libvirtd } from '../support/libvirtd.js'
import { pattern } from '../support/pattern.js'
import { PrivateHost } from '../support/private-host.js'
import { descriptorKinds, openDescriptors, residentMiB, threadCount } from '../support/process-state.js'
import { Random } from '../support/random.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'
import { SharedUse } from './shared-use.js'
import { Gone, PATIENCE_MS, SoakClient } from './soak-client.js'

/** Clients at a time; each lives for a moment only. */
const CROWD = 40
/** Clients that stay through everything. */
const RESIDENTS = 10
/** Growth of the broker, in MiB, that is not a leak. */
const GROWTH_MIB = 200
/** Events of domains that clients register for: 0 up to this. */
const LAST_EVENT = 9
const AUTODESTROY = 2

const killer = new URL('../support/thread-killer.js', import.meta.url).href
const DEATHS = ['SIGUSR2', 'SIGWINCH'] as const

const { storageVolDownload: DOWNLOAD, storageVolUpload: UPLOAD } = REMOTE

type Scene = (client: SoakClient, random: Random) => Promise<void>

/**
 * Everything at once against one broker: clients that come, work and die in random ways, others that stay, daemons
 * (one of ours, a real libvirtd) and actor threads that are killed. In the end nothing may be lost, leaked or stuck.
 * Resolves to a report; rejects at the first thing that is wrong.
 */
export async function soak(cleanup: Cleanup, seconds: number, seed: number): Promise<string> {
  const dir = await tempDir(cleanup)
  const fake = await AnsweringDriver.listen(cleanup, join(dir, 'virtqemud-sock'))
  const real = await Libvirtd.start(await PrivateHost.start(cleanup), cleanup, { drivers: [] })
  const conf = {
    driver_socket_dir: dir, driver_sockets: [`test=${real.socket}`], actor_threads: 3, client_stall_timeout: 3,
    // Deadlines of the broker come before the clients' patience ends.
    keepalive_interval: 2, keepalive_count: 3, driver_connect_timeout: 10, driver_open_timeout: 10,
    // What nobody uses is gone well before it is looked for.
    driver_idle_timeout: 5,
    metrics_listen: `unix:${join(dir, 'metrics')}`
  }
  const broker = await Broker.start(cleanup, conf, { nodeOptions: ['--import', killer] })
  const random = new Random(seed)
  const course = new Course(broker, random)
  const shared = new SharedUse(broker, join(dir, 'metrics'))
  await course.warmUp()
  await shared.over()
  const before = course.state()
  const until = performance.now() + 1000 * seconds
  const emitter = setInterval(() => fake.emitEvents(), 200)
  try {
    await Promise.all([
      ...Array.from({ length: CROWD }, () => course.visitors(random.fork(), until)),
      ...Array.from({ length: RESIDENTS }, (_, i) => course.resident(random.fork(), i, until)),
      course.killDaemon(fake, random.fork(), until),
      course.killLibvirtd(real, random.fork(), until),
      course.killThreads(random.fork(), until),
      shared.watch(until)
    ])
    await course.end(before)
    return `${course.report()}\n${await shared.judge()}\n${course.describe(before)}`
  } catch (error) {
    throw new Error(`${(error as Error).message}\nafter ${course.report()}\n${broker.program.stderr.slice(-3000)}`, { cause: error })
  } finally {
    clearInterval(emitter)
  }
}

interface State {
  descriptors: number
  threads: number
  memory: number
}

class Course {
  readonly #counts = new Map<string, number>()

  constructor(
    readonly broker: Broker,
    readonly random: Random
  ) {}

  state(): State {
    const { pid } = this.broker.program
    return { descriptors: openDescriptors(pid), threads: threadCount(pid), memory: residentMiB(pid) }
  }

  describe(before: State): string {
    const after = this.state()
    return `descriptors ${before.descriptors} -> ${after.descriptors}, threads ${before.threads} -> ${after.threads}, ` +
      `memory ${before.memory.toFixed(0)} -> ${after.memory.toFixed(0)} MiB`
  }

  report(): string {
    return [...this.#counts].sort(([one], [other]) => one.localeCompare(other)).map(([what, count]) => `${count} ${what}`).join(', ')
  }

  /** What each thread needs once. */
  async warmUp(): Promise<void> {
    const random = this.random.fork()
    await Promise.all(Array.from({ length: CROWD }, () => this.#visit(random)))
    await sleep(500)
  }

  async visitors(random: Random, until: number): Promise<void> {
    while (performance.now() < until) await this.#visit(random)
  }

  /** Stays, listens for events, calls and downloads; comes back when its thread was killed. */
  async resident(random: Random, number: number, until: number): Promise<void> {
    const name = number % 3 === 0 ? 'test:///default' : 'qemu:///system'
    while (performance.now() < until) {
      const client = await this.#connected(random)
      try {
        await this.#open(client, name)
        if (name.startsWith('qemu')) await client.register(0)
        while (performance.now() < until) {
          if (name.startsWith('qemu') && random.chance(0.02)) await this.#scenes.downloads!(client, random)
          else await this.#call(client, name, random)
          this.#count('events heard', client.checkEvents())
          client.expectEvents()
          await sleep(random.integer(5, 60))
        }
      } catch (error) {
        if (!(error instanceof Gone)) throw error
        this.#count('connections of residents lost')
      }
      client.destroy()
    }
  }

  async killDaemon(driver: AnsweringDriver, random: Random, until: number): Promise<void> {
    for (;;) {
      await sleep(random.integer(1000, 4000))
      if (performance.now() > until) return
      await driver.stop()
      await sleep(random.integer(0, 500))
      await driver.start()
      this.#count('deaths of our daemon')
    }
  }

  async killLibvirtd(daemon: Libvirtd, random: Random, until: number): Promise<void> {
    for (;;) {
      await sleep(random.integer(4000, 9000))
      if (performance.now() > until) return
      await daemon.stop('SIGKILL')
      await daemon.restart()
      this.#count('deaths of libvirtd')
    }
  }

  async killThreads(random: Random, until: number): Promise<void> {
    for (;;) {
      await sleep(random.integer(2000, 6000))
      if (performance.now() > until) return
      process.kill(this.broker.program.pid, random.pick(DEATHS))
      this.#count('deaths of threads')
    }
  }

  /** Nothing is left but a broker as it was in the beginning, which serves. */
  async end(before: State): Promise<void> {
    const { program } = this.broker
    if (program.ended) throw new Error('the broker ended')
    // The last thread that died may be on its way back.
    await waitFor('descriptors and threads as before', () => {
      const { descriptors, threads } = this.state()
      return descriptors <= before.descriptors && threads <= before.threads
    }, 30_000).catch((error: unknown) => {
      throw new Error(`${this.describe(before)}: ${descriptorKinds(program.pid).join(' ')}`, { cause: error })
    })
    if (this.state().memory > before.memory + GROWTH_MIB) throw new Error(this.describe(before))
    for (const name of ['qemu:///system', 'test:///default']) {
      const client = await this.#connected(this.random)
      await this.#open(client, name)
      await this.#call(client, name, this.random)
      client.destroy()
    }
    if (!this.#counts.has('events heard')) throw new Error('nobody heard of an event')
    if (/unexpected failure/.test(program.stderr)) throw new Error('the broker met an unexpected failure')
  }

  async #visit(random: Random): Promise<void> {
    const client = await this.#connected(random)
    const name = random.chance(0.2) ? 'test:///default' : 'qemu:///system'
    try {
      if (random.chance(0.1)) return this.#count('clients that said nothing')
      if (random.chance(0.3)) await client.answered(REMOTE.connectSupportsFeature, encodeFeature(10))
      await this.#open(client, name)
      for (let scenes = random.integer(1, 5); scenes > 0; scenes--) {
        const scene = name.startsWith('test') ? 'calls' : random.pick(Object.keys(this.#scenes))
        this.#count(scene)
        await this.#scenes[scene]!(client, random)
      }
      if (random.chance(0.5)) {
        await client.answered(REMOTE.connectClose)
        this.#count('clients that closed')
      } else this.#count('clients that died')
    } catch (error) {
      if (!(error instanceof Gone)) throw error
      this.#count('connections lost')
    } finally {
      client.destroy()
    }
  }

  readonly #scenes: Record<string, Scene> = {
    calls: async (client, random) => {
      for (let calls = random.integer(1, 10); calls > 0; calls--) await this.#call(client, 'qemu', random)
    },
    'calls in a row': async (client, random) => {
      const serials = Array.from({ length: random.integer(2, 30) }, () => client.post(REMOTE.domainGetXmlDesc, pattern(100)))
      for (const serial of serials) this.#judge(await client.reply(serial), pattern(100))
    },
    'guests that die with their client': async (client, random) => {
      const payload = new XdrWriter(64).string('<domain/>').u32(AUTODESTROY).finish()
      this.#judge(await client.answered(REMOTE.domainCreateXml, payload), payload)
      await this.#call(client, 'qemu', random)
    },
    downloads: async (client, random) => {
      const [packets, size] = [random.integer(1, 20), random.integer(1, 60_000)]
      const serial = client.post(DOWNLOAD, downloadArguments(packets, size))
      if ((await client.reply(serial)).status !== STATUS.ok) return this.#count('calls refused')
      const data = Buffer.concat(Array.from({ length: packets }, (_, index) => downloadPacket(size, index)))
      for (let at = 0; ;) {
        const { status, payload } = await client.answer({ type: MESSAGE.stream, serial })
        if (status === STATUS.error) return this.#count('streams broken')
        if (payload.length === 0) {
          if (at !== data.length) throw new Error(`a download of ${data.length} bytes ended after ${at}`)
          break
        }
        if (!payload.equals(data.subarray(at, at + payload.length))) throw new Error('a download brought wrong data')
        at += payload.length
      }
      client.send({ proc: DOWNLOAD, type: MESSAGE.stream, serial, status: STATUS.ok })
    },
    uploads: async (client, random) => {
      const serial = client.post(UPLOAD, downloadArguments(0, 0))
      if ((await client.reply(serial)).status !== STATUS.ok) return this.#count('calls refused')
      const packet = frame({ proc: UPLOAD, type: MESSAGE.stream, serial, status: STATUS.continue }, pattern(random.integer(1, 150_000)))
      for (let packets = random.integer(1, 20); packets > 0; packets--) client.write(packet)
      // Left alone, it ends with its client.
      if (random.chance(0.3)) return
      client.send({ proc: UPLOAD, type: MESSAGE.stream, serial, status: random.pick([STATUS.ok, STATUS.error]) })
      await client.answer({ type: MESSAGE.stream, serial })
    },
    'registrations for events': async (client, random) => {
      for (let count = random.integer(1, 5); count > 0; count--) await client.register(random.integer(0, LAST_EVENT))
      await sleep(random.integer(0, 300))
      this.#count('events heard', client.checkEvents())
    },
    'halves of frames': (client, random) => {
      client.write(frame({ proc: REMOTE.domainGetInfo }, pattern(300)).subarray(0, random.integer(1, 320)))
      client.destroy()
      return Promise.reject(new Gone())
    },
    'times without reading': async (client, random) => {
      if (random.chance(0.5)) client.post(DOWNLOAD, downloadArguments(64, 100_000))
      else for (let calls = 64; calls > 0; calls--) client.post(REMOTE.domainGetXmlDesc, pattern(50_000))
      client.stall()
      await sleep(random.integer(0, 300))
      client.destroy()
      throw new Gone()
    },
    noise: async (client, random) => {
      client.write(random.bytes(200))
      await sleep(20)
      client.destroy()
      throw new Gone()
    }
  }

  async #connected(random: Random): Promise<SoakClient> {
    const { socket, tcpPort } = this.broker
    const client = new SoakClient(connect(random.chance(0.5) ? { path: socket } : { host: '127.0.0.1', port: tcpPort }))
    await once(client.socket, 'connect')
    this.#count('clients')
    return client
  }

  /** Tries again while the daemon is away. */
  async #open(client: SoakClient, name: string): Promise<void> {
    const until = performance.now() + PATIENCE_MS
    for (;;) {
      const { status } = await client.answered(REMOTE.connectOpen, encodeOpen({ name, flags: 0 }))
      if (status === STATUS.ok) return
      if (performance.now() > until) throw new Error(`${name} could not be opened for ${PATIENCE_MS / 1000} s`)
      this.#count('openings refused')
      await sleep(100)
    }
  }

  async #call(client: SoakClient, name: string, random: Random): Promise<void> {
    if (name.startsWith('test')) {
      const { status, payload } = await client.answered(REMOTE.connectGetLibVersion)
      if (status === STATUS.ok && payload.length !== 8) throw new Error('libvirtd gave a wrong answer')
      return this.#count(status === STATUS.ok ? 'calls answered' : 'calls refused')
    }
    const payload = pattern(random.integer(0, 5000) * 4, random.integer(0, 255))
    this.#judge(await client.answered(REMOTE.domainGetXmlDesc, payload), payload)
  }

  /** An error is a good answer while a daemon is away; a wrong one never is. */
  #judge({ status, payload }: { status: number; payload: Buffer }, expected: Buffer): void {
    if (status === STATUS.ok && !payload.equals(expected)) throw new Error('a call was answered wrongly')
    this.#count(status === STATUS.ok ? 'calls answered' : 'calls refused')
  }

  #count(what: string, more = 1): void {
    if (more > 0) this.#counts.set(what, (this.#counts.get(what) ?? 0) + more)
  }
}
