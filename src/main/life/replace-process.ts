import { constants } from 'node:os'
import koffi from 'koffi'
import { errno, errorText, F_SETFD, fcntl, Memory } from '../../workers/os/libc.js'

const libc = koffi.load(null)
const execve = libc.func('int execve(const char *, uintptr_t, uintptr_t)') as (
  file: string,
  argumentsAt: number,
  environmentAt: number
) => number
const setHandler = libc.func('uintptr_t signal(int, uintptr_t)') as (signal: number, handler: number) => number

const SIG_IGN = 1

/**
 * Runs another program in this process, at a time when it has no threads but Node's own, and nothing to put away. Of its
 * descriptors the program gets those of `kept`, which Node has set to be closed. Returns, with the reason, only if it
 * cannot be run.
 */
export function replaceProcess(
  file: string,
  argv: readonly Buffer[],
  environment: readonly Buffer[],
  kept: readonly number[]
): string {
  for (const fd of kept) fcntl(fd, F_SETFD, 0)
  // Until the new program catches it, this signal would end the process.
  setHandler(constants.signals.SIGUSR1, SIG_IGN)
  execve(file, vector(argv).address, vector(environment).address)
  return errorText(errno())
}

/** Pointers to strings that end with NUL, and a null pointer; the strings stand behind them. */
function vector(strings: readonly Buffer[]): Memory {
  const textAt = 8 * (strings.length + 1)
  const memory = new Memory(strings.reduce((size, { length }) => size + length + 1, textAt))
  let at = textAt
  for (const [index, string] of strings.entries()) {
    memory.bytes.writeBigUInt64LE(BigInt(memory.address + at), 8 * index)
    string.copy(memory.bytes, at)
    at += string.length + 1
  }
  return memory
}
