import { constants, fstatSync, openSync } from 'node:fs'
import { F_SETPIPE_SZ, fcntl } from '../../workers/os/libc.js'

const STDERR = 2
/** Some thousand lines, for a reader that is slow for a moment. The kernel allows it to everybody. */
const PIPE_BYTES = 1024 * 1024

/**
 * The descriptor for lines that are for standard error; one that is not `fd` is the caller's to close. Where that is a pipe,
 * as in a container, a reader that takes nothing must not hold up the broker. The pipe is opened once more for that, because
 * what is set on `fd` holds for every process that has it. A terminal, a file or a socket stays as it is.
 */
export function openStandardError(fd = STDERR): number {
  try {
    if (!fstatSync(fd).isFIFO()) return fd
    const own = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
    fcntl(own, F_SETPIPE_SZ, PIPE_BYTES)
    return own
  } catch {
    // Another user has made the pipe, or nobody reads it any more.
    return fd
  }
}
