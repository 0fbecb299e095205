/**
 * Loaded into a broker under test with `node --import`: signals make one of its worker threads die, or hang. No part
 * of the broker knows of it.
 *
 *     SIGUSR2   a thread is terminated from outside
 *     SIGWINCH  a thread meets an exception that nobody catches
 *     SIGIO     a thread uses up its memory (start with a small --max-old-space-size)
 *     SIGPWR    the same for the thread that calls libsasl2
 *     SIGURG    all threads do nothing until it comes once more; each says so on standard error
 *     SIGXCPU   a thread goes round in a circle, and comes to no end
 *     SIGSTKFLT a thread waits in the kernel, for longer than anybody has patience
 */
import { writeSync } from 'node:fs'
import koffi from 'koffi'
import { basename } from 'node:path'
import { BroadcastChannel, isMainThread, threadId, type Worker } from 'node:worker_threads'

interface Order {
  /** A thread's id, or the file that it runs. */
  thread: number | string
  deed: keyof typeof deeds
  /** Until when it lasts, if it does: the word is 0 so long. */
  until?: Int32Array
}

const deeds = {
  throw: () => {
    throw new Error('a test wants this thread to fail')
  },
  exhaust: () => {
    const kept: number[][] = []
    for (;;) kept.push(new Array<number>(10_000).fill(kept.length))
  },
  hang: (until?: Int32Array) => {
    // Not by way of the main thread, which would hear of it when it is over.
    writeSync(2, 'a thread hangs\n')
    Atomics.wait(until!, 0, 0)
  },
  circle: () => {
    writeSync(2, 'a thread hangs\n')
    for (;;) writeSync(2, '')
  },
  sleep: () => {
    writeSync(2, 'a thread hangs\n')
    const sleep = koffi.load(null).func('uint32_t sleep(uint32_t)') as (seconds: number) => number
    for (;;) sleep(1000)
  }
}

const channel = new BroadcastChannel('thread-killer')
channel.unref()

if (isMainThread) {
  const workers = new Set<Worker>()
  process.on('worker', (worker: Worker) => {
    workers.add(worker)
    worker.once('exit', () => workers.delete(worker))
  })
  const victim = (): Worker | undefined => [...workers][Math.floor(Math.random() * workers.size)]
  const order = (deed: Order['deed']): void => {
    const thread = victim()?.threadId
    if (thread !== undefined) channel.postMessage({ thread, deed } satisfies Order)
  }
  process.on('SIGUSR2', () => void victim()?.terminate())
  process.on('SIGWINCH', () => order('throw'))
  process.on('SIGIO', () => order('exhaust'))
  process.on('SIGPWR', () => channel.postMessage({ thread: 'sasl-thread.js', deed: 'throw' } satisfies Order))
  process.on('SIGXCPU', () => order('circle'))
  process.on('SIGSTKFLT', () => order('sleep'))
  let until: Int32Array | undefined
  process.on('SIGURG', () => {
    if (until === undefined) {
      until = new Int32Array(new SharedArrayBuffer(4))
      for (const { threadId: thread } of workers) channel.postMessage({ thread, deed: 'hang', until } satisfies Order)
    } else {
      Atomics.store(until, 0, 1)
      Atomics.notify(until, 0)
      until = undefined
    }
  })
} else {
  channel.onmessage = message => {
    const { thread, deed, until } = (message as { data: Order }).data
    if (thread === threadId || thread === basename(process.argv[1] ?? '')) setImmediate(deeds[deed], until)
  }
}
