import { encodeFrame, MESSAGE, PROGRAM, PROGRAM_VERSION, STATUS } from '../header.js'
import { KEEPALIVE } from '../procedures.js'

// Serial 0 and no body in either direction: a PONG does not echo the PING's serial. Shared by all connections, so
// nobody may write into them.
export const PING_FRAME = keepaliveFrame(KEEPALIVE.ping)
export const PONG_FRAME = keepaliveFrame(KEEPALIVE.pong)

function keepaliveFrame(proc: number): Buffer {
  return encodeFrame({
    prog: PROGRAM.keepalive,
    vers: PROGRAM_VERSION,
    proc,
    type: MESSAGE.event,
    serial: 0,
    status: STATUS.ok
  })
}
