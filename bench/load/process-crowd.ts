import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { callFrame } from '#protocol/messages/frames.js'
import { encodeOpen } from '#protocol/messages/connect.js'
import { REMOTE } from '#protocol/procedures.js'
import type { Outcome } from './orders.js'
import { Tally } from './outcome.js'

/** It stays where it was written. */
const program = new URL('../../../bench/load/process-crowd.pl', import.meta.url).pathname
const RECORD_BYTES = 8
const [OPENED, ANSWERED] = [0, 1]

/** Clients of a UNIX socket, each a process of its own, that call at equal distances or not at all: see process-crowd.pl. */
export class ProcessCrowd {
  readonly #child: ChildProcess
  readonly #clients: number
  #tally = new Tally()
  #open = 0
  #rest = Buffer.alloc(0)
  #looks: () => void = () => undefined

  constructor(socket: string, name: string, clients: number, everyMs = 0) {
    this.#clients = clients
    const frames = [
      callFrame(REMOTE.connectOpen, 1, encodeOpen({ name, flags: 0 })), callFrame(REMOTE.connectGetLibVersion, 2, new Uint8Array(0))
    ]
    const argv = [program, socket, String(clients), String(everyMs / 1000), ...frames.map(frame => Buffer.from(frame).toString('hex'))]
    this.#child = spawn('perl', argv, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdout!.on('data', (bytes: Buffer) => this.#hear(bytes))
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** Resolves when all are in. Throws when one is not let in. */
  async opened(): Promise<void> {
    while (this.#open < this.#clients) {
      await new Promise<void>(resolve => { this.#looks = resolve })
      if (this.#tally.failures > 0) throw new Error(`a process was not let in when ${this.#open} were`)
    }
  }

  /** What is called in the next `ms`; latency counts from when a call was due. */
  async calls(ms: number): Promise<Outcome> {
    const tally = this.#tally = new Tally()
    await sleep(ms)
    return tally.finish()
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.stdin!.end()
    await gone
  }

  #hear(bytes: Buffer): void {
    const all = Buffer.concat([this.#rest, bytes])
    const end = all.length - all.length % RECORD_BYTES
    for (let at = 0; at < end; at += RECORD_BYTES) this.#record(all.readUInt32BE(at), all.readUInt32BE(at + 4) / 1000)
    this.#rest = all.subarray(end)
    this.#looks()
  }

  #record(what: number, ms: number): void {
    if (what === OPENED) this.#open++
    else if (what === ANSWERED) {
      this.#tally.count++
      this.#tally.latencies.record(ms)
    } else this.#tally.fail('a process got no answer')
  }
}
