import { CODE, DOMAIN, internalError, templated, type RemoteError } from '../../protocol/errors.js'
import type { Header } from '../../protocol/header.js'
import { AUTH, encodePolkitReply, type AuthType } from '../../protocol/messages/auth.js'
import { REMOTE } from '../../protocol/procedures.js'
import { SOURCE } from '../base/log.js'
import { Withdrawn, type Check, type Verdict } from '../polkit/authority.js'
import { BusLost, ServiceError } from '../polkit/system-bus.js'
import { authenticationFailed } from '../../protocol/broker-errors.js'
import type { Applicant, Authentication, AuthServices } from './authentication.js'

/** `virsh` gives up after five; each try may be somebody who types a password. */
const MAX_TRIES = 10

/** polkit decides by the process at the other end of a UNIX socket, with the help of an agent that runs there. */
export class PolkitAuthentication implements Authentication {
  #check: Check | undefined
  #tries = 0

  constructor(
    readonly applicant: Applicant,
    readonly authority: AuthServices['polkit']
  ) {}

  /** Root may do anything anyway and is not asked: the one way in without AUTH_POLKIT, here and nowhere else. */
  list(): AuthType {
    if (this.applicant.record.identity.userId !== 0) return AUTH.polkit
    this.applicant.authenticated({})
    return AUTH.none
  }

  take(call: Header): boolean {
    if (call.proc !== REMOTE.authPolkit) return false
    this.#ask(call).catch((error: unknown) => this.applicant.close(String(error), 'internal-failure'))
    return true
  }

  end(): void {
    this.#check?.withdraw()
  }

  async #ask(call: Header): Promise<void> {
    const { applicant } = this
    const { userId: uid, processId: pid, processTime: startTime } = applicant.record.identity
    if (uid === undefined || pid === undefined || pid <= 0 || startTime === undefined) {
      applicant.log('login-refused', 'polkit: the process of the client is not known', SOURCE.polkit)
      return applicant.refuse(call, authenticationFailed())
    }
    if (this.#check !== undefined) return applicant.refuse(call, authenticationFailed())
    const action = applicant.record.listener.readonly ? 'org.libvirt.unix.monitor' : 'org.libvirt.unix.manage'
    const check = this.authority.check({ pid, startTime, uid }, action)
    this.#check = check
    applicant.restartDeadline()
    let error: RemoteError | undefined
    try {
      error = verdictError(await check.verdict, action)
    } catch (failure) {
      if (failure instanceof Withdrawn) return
      error = failureError(failure as Error)
    }
    this.#check = undefined
    if (error === undefined) {
      // The answer goes first: what the client is allowed from now on follows it.
      applicant.reply(call, encodePolkitReply())
      return applicant.authenticated({})
    }
    applicant.log('login-refused', `polkit: ${action} for process ${pid} of user ${uid}: ${error.message}`, SOURCE.polkit)
    applicant.refuse(call, error)
    if (++this.#tries >= MAX_TRIES) applicant.close('too many attempts to authenticate', 'too-many-logins')
  }
}

/** Undefined: the client is in. virsh starts its agent on exactly this code and domain of `challenge`. */
function verdictError({ authorized, challenge, dismissed }: Verdict, action: string): RemoteError | undefined {
  if (authorized) return undefined
  if (dismissed) {
    const detail = 'user cancelled authentication process'
    return templated(CODE.authCancelled, DOMAIN.polkit, 'authentication cancelled: %1$s', detail)
  }
  if (challenge) {
    const detail = `no polkit agent available to authenticate action '${action}'`
    return templated(CODE.authUnavailable, DOMAIN.polkit, 'authentication unavailable: %1$s', detail)
  }
  return templated(CODE.authFailed, DOMAIN.polkit, 'authentication failed: %1$s', 'access denied by policy')
}

/** The texts are those of GLib's D-Bus client, which libvirt passes on. */
function failureError(failure: Error): RemoteError {
  if (failure instanceof BusLost) {
    return internalError(`Unable to get system bus connection: ${failure.message}`, DOMAIN.dbus)
  }
  const detail =
    failure instanceof ServiceError ? `GDBus.Error:${failure.errorName}: ${failure.message}` : failure.message
  return templated(CODE.dbusService, DOMAIN.dbus, 'error from service: %1$s', detail)
}
