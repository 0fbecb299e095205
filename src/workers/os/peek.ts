import { ECONNRESET, errno, FIONREAD, ioctl, Memory, MSG_DONTWAIT, MSG_PEEK, recv } from './libc.js'

/** An int. */
const room = new Memory(4)

/** Whether a socket holds something that nobody has read yet. */
export const hasUnread = (fd: number): boolean =>
  ioctl(fd, FIONREAD, room.address) === 0 && room.bytes.readInt32LE() > 0

/** Whether the peer has reset the connection. */
export const isReset = (fd: number): boolean =>
  recv(fd, room.address, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno() === ECONNRESET
