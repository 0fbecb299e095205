import { CODE, DOMAIN, templated, type RemoteError } from '../../protocol/errors.js'
import { REMOTE } from '../../protocol/procedures.js'

const invalid = (what: string): RemoteError =>
  templated(CODE.operationInvalid, DOMAIN.remote, 'Requested operation is not valid: %1$s', what)

/**
 * Whether a client wants to hear of its driver daemon's death, kept here: there it would be one for all who share a
 * connection. Registering twice, and unregistering what is not there, are answered as virtproxyd does it.
 */
export class CloseCallback {
  #registered = false

  /** What a call to register or unregister is answered, if it fails. */
  call(proc: number): RemoteError | undefined {
    const registers = proc === REMOTE.connectRegisterCloseCallback
    if (registers === this.#registered) {
      return invalid(registers ? 'A close callback is already registered' : 'A different callback was requested')
    }
    this.#registered = registers
    return undefined
  }
}
