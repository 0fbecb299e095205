import { ECONNRESET, errno, Memory, MSG_DONTWAIT, MSG_PEEK, recv } from './libc.js'

const byte = new Memory(1)
const peek = (fd: number): number => recv(fd, byte.address, 1, MSG_PEEK | MSG_DONTWAIT)

/** Whether a socket holds something that nobody has read yet. */
export const hasUnread = (fd: number): boolean => peek(fd) > 0

/** Whether the peer has reset the connection. */
export const isReset = (fd: number): boolean => peek(fd) < 0 && errno() === ECONNRESET
