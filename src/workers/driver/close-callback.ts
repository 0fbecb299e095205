import { CODE, DOMAIN, templated, type RemoteError } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'

const alreadyRegistered = (): RemoteError =>
  templated(CODE.operationInvalid, DOMAIN.remote, 'Requested operation is not valid: %1$s', 'A close callback is already registered')

/**
 * Whether a client wants to hear of its driver daemon's death, kept here: there it would be one for all who share a
 * connection. Registering twice is answered as virtproxyd does it; what is not there can be unregistered, as at a driver
 * daemon.
 */
export class CloseCallback {
  #registered = false

  /** What a call to register or unregister is answered, if it fails. */
  call(proc: number): RemoteError | undefined {
    const registers = proc === REMOTE.connectRegisterCloseCallback
    if (registers && this.#registered) return alreadyRegistered()
    this.#registered = registers
    return undefined
  }
}
