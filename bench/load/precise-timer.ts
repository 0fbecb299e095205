import koffi from 'koffi'
import { close, errno, errorText, Memory, SOCK_CLOEXEC, SOCK_NONBLOCK } from '#workers/os/libc.js'
import { Poller, READABLE } from '#workers/os/poller.js'

const libc = koffi.load(null)
const timerCreate = libc.func('int timerfd_create(int, int)') as (clock: number, flags: number) => number
const timerSet = libc.func('int timerfd_settime(int, int, uintptr_t, uintptr_t)') as (
  fd: number,
  flags: number,
  value: number,
  old: number
) => number
const read = libc.func('intptr_t read(int, uintptr_t, size_t)') as (fd: number, at: number, len: number) => number

const CLOCK_MONOTONIC = 1
const poller = new Poller()
const memory = new Memory(32)

/** Node's timers count milliseconds; a fixed rate needs finer ones, and no spinning beside the programs measured. */
export class PreciseTimer {
  readonly #fd = timerCreate(CLOCK_MONOTONIC, SOCK_NONBLOCK | SOCK_CLOEXEC)
  readonly #slot: number

  constructor(ms: number, due: () => void) {
    if (this.#fd < 0) throw new Error(`timerfd_create: ${errorText(errno())}`)
    // struct itimerspec: interval, then first expiry; seconds and nanoseconds.
    const nanoseconds = BigInt(Math.max(1, Math.round(ms * 1e6)))
    for (const at of [0, 16]) {
      memory.bytes.writeBigInt64LE(nanoseconds / 1_000_000_000n, at)
      memory.bytes.writeBigInt64LE(nanoseconds % 1_000_000_000n, at + 8)
    }
    timerSet(this.#fd, 0, memory.address, 0)
    this.#slot = poller.add(this.#fd, READABLE, {
      ready: () => {
        read(this.#fd, memory.address, 8)
        due()
      }
    })
  }

  stop(): void {
    poller.remove(this.#slot, this.#fd)
    close(this.#fd)
  }
}
