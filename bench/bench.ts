import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Latencies } from './load/latencies.js'
import { Load } from './load/load.js'
import {
  startAnsweringDriver,
  startEmbeddedDriver,
  startLibvirtdDriver,
  type Driver,
  type DriverKind
} from './peers/driver.js'
import { makeCertificates, type Certificates } from './peers/certificates.js'
import { direct, startBroker, startHaproxy, startLibvirtdProxy, type Peer, type PeerName } from './peers/peers.js'
import { describePoint, type Figure, type Point, type Sample } from './results/samples.js'
import type { Scale } from './scale.js'
import { atExit } from './system/at-exit.js'

export interface BenchOptions {
  scale: Scale
  /** What entries that do not ask for a certain driver get. */
  driver: Exclude<DriverKind, 'answering'>
  /** The broker's executable, and that of the revision to compare with. */
  broker: string
  base: string | undefined
  peers: readonly PeerName[]
  /** Shown while it runs. */
  progress: (text: string) => void
}

/** Whether clients have certificates, too, and the length of the RSA key. */
export interface TlsWish {
  bothSides: boolean
  bits: number
}

/** What an entry needs to be measured against. */
export interface StageWish {
  driver?: DriverKind
  /** The driver must have a storage pool driver. */
  storage?: boolean
  peers?: readonly PeerName[]
  /** Clients come over TLS; there is no peer without a proxy then. */
  tls?: TlsWish
  /** Actor threads of the broker, over which clients are spread evenly; as the broker has it if not given. */
  threads?: number
  /** Clients of the broker of whom the daemon is told the same share connections to it. */
  sharing?: boolean
  /** What several of them ask at once it asks once. */
  collapsing?: boolean
  /** The broker counts calls, and tells of them at `metricsIn` its directory. */
  metrics?: boolean
  /** It tells of calls that take a second. */
  slowCalls?: boolean
}

/** A process that makes load. */
export interface LoadProcess {
  readonly pid: number
  stop(): Promise<void>
}

/** Peers, each in front of a driver of its own, and the processes that make load. */
export class Stage {
  readonly #loads: LoadProcess[] = []
  readonly #forget: () => void

  constructor(
    readonly directory: string,
    readonly peers: readonly Peer[],
    readonly certificates: Certificates | undefined
  ) {
    this.#forget = atExit(() => this.#clear())
  }

  load(): Load {
    return this.keep(new Load())
  }

  /** Ends it when the rest of the load ends. */
  keep<Kind extends LoadProcess>(load: Kind): Kind {
    this.#loads.push(load)
    return load
  }

  /** A load process for each peer, with that many clients that have opened `uri`, so many of them at a time. */
  crowds(uri: string, clients: number, parallel?: number): Promise<{ peer: Peer; load: Load }[]> {
    return Promise.all(this.peers.map(async peer => {
      const load = this.load()
      await load.open(peer.target(uri), clients, parallel)
      return { peer, load }
    }))
  }

  /** Ends all load. */
  async disperse(): Promise<void> {
    await Promise.all(this.#loads.splice(0).map(load => load.stop()))
  }

  async close(): Promise<void> {
    await Promise.all(this.#loads.map(load => load.stop()))
    await Promise.all(this.peers.map(peer => peer.stop()))
    await Promise.all(this.peers.map(peer => peer.driver.stop()))
    this.#forget()
    this.#clear()
  }

  #clear(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }
}

export interface Warning {
  entry: string
  text: string
}

/** One distribution of latencies, merged over the rounds. */
export interface Distribution {
  entry: string
  peer: PeerName
  point: Point
  latencies: Latencies
}

/** What the entries work with, and where their figures end up. */
export class Bench {
  readonly samples: Sample[] = []
  readonly distributions = new Map<string, Distribution>()
  readonly warnings: Warning[] = []
  #entry = ''
  #began = 0

  constructor(readonly options: BenchOptions) {}

  get scale(): Scale {
    return this.options.scale
  }

  get entry(): string {
    return this.#entry
  }

  begin(entry: string): void {
    this.#entry = entry
    this.#began = performance.now()
  }

  /** The numbers of the rounds, from 0. */
  get rounds(): readonly number[] {
    return Array.from({ length: this.scale.rounds }, (_, round) => round)
  }

  /** Those of the rounds that there is time for; of the first there must be figures. */
  *inTime(rounds: readonly number[] = this.rounds): Generator<number> {
    for (const round of rounds) {
      if (round > 0 && this.#isLate) return
      yield round
    }
  }

  get #isLate(): boolean {
    return performance.now() - this.#began >= this.scale.entryMs
  }

  /** Starts drivers and peers, does `work`, and stops everything again. */
  async onStage(wish: StageWish, work: (stage: Stage) => Promise<void>): Promise<void> {
    const stage = await this.#build(wish)
    try {
      await work(stage)
    } finally {
      await stage.close()
    }
  }

  /**
   * As `onStage`, several times, each with a part of the rounds: something about a process, perhaps where its memory is,
   * makes it faster or slower for as long as it lives: the broker by a few per cent, libvirtd by up to a quarter.
   */
  async onStages(wish: StageWish, work: (stage: Stage, rounds: readonly number[]) => Promise<void>): Promise<void> {
    const { rounds, roundsPerStart } = this.scale
    for (let first = 0; first < rounds && !(first > 0 && this.#isLate); first += roundsPerStart) {
      await this.onStage(wish, stage => work(stage, this.rounds.slice(first, first + roundsPerStart)))
    }
  }

  async #build(wish: StageWish): Promise<Stage> {
    const directory = mkdtempSync(path.join(tmpdir(), 'vbb-'))
    const tls = wish.tls && makeCertificates(directory, wish.tls.bothSides, wish.tls.bits)
    const wanted = this.options.peers.filter(
      name =>
        !(tls && name === 'direct') &&
        (wish.peers === undefined || wish.peers.includes(name) || (name === 'base' && wish.peers.includes('virtbroker')))
    )
    const starting = wanted.map(async name => {
      const place = path.join(directory, name)
      const driver = await this.#startDriver(path.join(place, 'd'), wish)
      try {
        return await this.#startPeer(name, place, driver, wish, tls)
      } catch (error) {
        await driver.stop()
        throw error
      }
    })
    const started = await Promise.allSettled(starting)
    const peers = started.filter(result => result.status === 'fulfilled').map(({ value }) => value)
    const stage = new Stage(directory, peers, tls)
    const failed = started.find(result => result.status === 'rejected')
    if (failed === undefined) return stage
    await stage.close()
    throw failed.reason
  }

  #startDriver(directory: string, wish: StageWish): Promise<Driver> {
    const kind = wish.driver ?? this.options.driver
    if (kind === 'answering') return startAnsweringDriver(directory)
    if (kind === 'embedded') return startEmbeddedDriver(directory, this.options.broker)
    return startLibvirtdDriver(directory, wish.storage ?? false)
  }

  async #startPeer(
    name: PeerName,
    directory: string,
    driver: Driver,
    { threads, sharing = false, collapsing = false, metrics = false, slowCalls = false }: StageWish,
    tls: Certificates | undefined
  ): Promise<Peer> {
    if (name === 'direct') return direct(driver)
    if (name === 'haproxy') return startHaproxy(directory, driver, tls)
    if (name === 'libvirtd') return startLibvirtdProxy(directory, driver, tls)
    const { broker, base } = this.options
    const wish = { threads, sharing, collapsing, metrics, slowCalls }
    return startBroker(name, name === 'base' ? base! : broker, directory, driver, wish, tls)
  }

  record(peer: PeerName, point: Point, round: number, figure: Figure, value: number): void {
    this.samples.push({ entry: this.#entry, peer, point, round, ...figure, value })
  }

  distribution(peer: PeerName, point: Point, latencies: Latencies): void {
    const key = JSON.stringify([this.#entry, peer, point])
    const known = this.distributions.get(key)
    if (known) known.latencies.add(latencies)
    else this.distributions.set(key, { entry: this.#entry, peer, point, latencies })
  }

  /** The same text is kept once an entry. */
  warn(text: string): void {
    const entry = this.#entry
    if (!this.warnings.some(known => known.entry === entry && known.text === text)) this.warnings.push({ entry, text })
  }

  progress(peer: PeerName, point: Point, text: string): void {
    this.options.progress(`${this.#entry}: ${describePoint(point)}: ${peer}: ${text}`)
  }
}
