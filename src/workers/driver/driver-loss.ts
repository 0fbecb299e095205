import { systemError, type RemoteError } from '../../protocol/errors.js'
import { ECONNRESET, EIO, EPIPE, errorText } from '../os/libc.js'

/** What calls in flight fail with when the daemon's end of the connection goes away; `errno`: 0 at its end. */
export function lossError(errno: number): RemoteError {
  if (errno === 0) return systemError(EIO, `End of file while reading data: ${errorText(EIO)}`)
  return systemError(errno, `Cannot recv data: ${errorText(errno === EPIPE ? ECONNRESET : errno)}`)
}

/** The like, when it answers no ping. */
export const silenceError = (): RemoteError =>
  systemError(EIO, 'Cannot recv data: connection closed due to keepalive timeout')
