import koffi from 'koffi'
import { Memory } from './libc.js'

/**
 * Threads that run one function of libc, with one number as its argument, and know nothing of JavaScript: for a system
 * call that may take for ever. Nobody waits for them: not the loop that started them, nor libuv's pool, which everybody
 * shares, nor the end of the process.
 */
const libc = koffi.load(null)

const symbolAddress = libc.func('uintptr_t dlsym(uintptr_t, const char *)') as (library: number, name: string) => number
const attributesInit = libc.func('int pthread_attr_init(uintptr_t)') as (at: number) => number
const setStackSize = libc.func('int pthread_attr_setstacksize(uintptr_t, size_t)') as (at: number, size: number) => number
/** Not wrapped, for those who must not be interrupted before it: what a thread is started with is `threadPlace`. */
export const createThread = libc.func('int pthread_create(uintptr_t, uintptr_t, uintptr_t, uintptr_t)') as (
  threadAt: number,
  attributesAt: number,
  start: number,
  argument: number
) => number
const tryJoin = libc.func('int pthread_tryjoin_np(uintptr_t, uintptr_t)') as (thread: number, resultAt: number) => number
const kill = libc.func('int pthread_kill(uintptr_t, int)') as (thread: number, signal: number) => number
const setHandler = libc.func('uintptr_t signal(int, uintptr_t)') as (signal: number, handler: number) => number

const STACK_BYTES = 128 * 1024
/** One of the real-time signals, which mean nothing to Node or libvirt. */
const INTERRUPTION = 50

/** A `pthread_t`, and a `pthread_attr_t`, which has 56 bytes or 64. */
const memory = new Memory(8 + 64)
export const threadPlace = { thread: memory.address, attributes: memory.address + 8 } as const
attributesInit(threadPlace.attributes)
setStackSize(threadPlace.attributes, STACK_BYTES)

/** The address of a function of libc. */
export const functionAddress = (name: string): number => symbolAddress(0, name)

// A signal must be caught, not ignored, for a system call to be interrupted by it. This handler is given the number
// of the signal and does nothing with it.
setHandler(INTERRUPTION, functionAddress('abs'))

/** Names a thread until `hasEnded` says that it has. */
export type NativeThread = number

/** The thread that `createThread` has made last. */
export const createdThread = (): NativeThread => Number(memory.bytes.readBigUInt64LE(0))

export const hasEnded = (thread: NativeThread): boolean => tryJoin(thread, 0) === 0

/** Ends whatever wait of the kernel's a signal can end. The thread must not be known to have ended. */
export function interrupt(thread: NativeThread): void {
  kill(thread, INTERRUPTION)
}
