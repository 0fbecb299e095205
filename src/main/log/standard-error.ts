import { constants, fstatSync, openSync } from 'node:fs'
import { F_SETPIPE_SZ, fcntl } from '../../workers/os/libc.js'

export const STDERR = 2
/** Some thousand lines, for a reader that is slow for a moment. The kernel allows it to everybody. */
const PIPE_BYTES = 1024 * 1024

/**
 * The descriptor for lines that are for standard error; one that is not STDERR is the caller's to close. Where that is a pipe,
 * as in a container, a reader that takes nothing must not hold up the broker. The pipe is opened once more for that, because
 * what is set on a descriptor holds for every process that was given it. A terminal, a file or a socket stays as it is.
 */
export function openStandardError(): number {
  try {
    if (!fstatSync(STDERR).isFIFO()) return STDERR
    const own = openSync(`/proc/self/fd/${STDERR}`, constants.O_WRONLY | constants.O_NONBLOCK)
    fcntl(own, F_SETPIPE_SZ, PIPE_BYTES)
    return own
  } catch {
    // Another user has made the pipe, or nobody reads it any more.
    return STDERR
  }
}
