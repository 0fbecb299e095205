import { encodeFrame, MESSAGE, PROGRAM, PROGRAM_VERSION, STATUS, type Header } from '../header.js'

/** A call, of the remote program unless said otherwise, as the broker makes it at a driver daemon. */
export function callFrame(proc: number, serial: number, body?: Uint8Array, prog: number = PROGRAM.remote): Buffer {
  return encodeFrame(
    { prog, vers: PROGRAM_VERSION, proc, type: MESSAGE.call, serial, status: STATUS.ok },
    body
  )
}

/** The good answer to `call`. */
export function replyFrame(call: Header, body?: Uint8Array): Buffer {
  const { prog, vers, proc, serial } = call
  return encodeFrame({ prog, vers, proc, type: MESSAGE.reply, serial, status: STATUS.ok }, body)
}

/** Daemons send every event with serial 1, whatever the protocol's comments say; clients ignore it. */
export function eventFrame(proc: number, body?: Uint8Array, prog: number = PROGRAM.remote): Buffer {
  return encodeFrame(
    { prog, vers: PROGRAM_VERSION, proc, type: MESSAGE.event, serial: 1, status: STATUS.ok },
    body
  )
}
