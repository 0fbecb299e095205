import { close } from '../../workers/os/libc.js'

/** Closes a connection that no thread was given: the one way in which the supervisor does so. */
export const closeUnserved = (fd: number): void => void close(fd)
