import { CODE, DOMAIN, internalError, systemError, type RemoteError, templated } from '../../protocol/errors.js'
import { invalidArgument } from '../../protocol/bad-arguments.js'
import { StartupError } from '../config/startup-error.js'

const notFound = (code: number, what: string) => (detail: string, domain: number) =>
  templated(code, domain, `${what} not found: %1$s`, detail)
const serverNotFound = notFound(CODE.noServer, 'Server')
const clientNotFound = notFound(CODE.noClient, 'Client')

// Some procedures have other words for the same, as they have in libvirt.
export const noServer = (name: string): RemoteError => serverNotFound(`No server named '${name}'`, DOMAIN.rpc)
export const noMatchingServer = (name: string): RemoteError =>
  serverNotFound(`no server with matching name '${name}' found`, DOMAIN.admin)
export const noClient = (id: bigint): RemoteError => clientNotFound(`No client with matching ID '${id}'`, DOMAIN.rpc)
export const noMatchingClient = (id: bigint): RemoteError =>
  clientNotFound(`no client with matching id '${id}' found`, DOMAIN.admin)

export const tooMany = (what: string, count: number, limit: number): RemoteError =>
  internalError(`Too many ${what} '${count}' for limit '${limit}'`, DOMAIN.admin)

export const fewerThanUnauthenticated = (): RemoteError =>
  templated(
    CODE.invalidArg, DOMAIN.rpc, 'invalid argument: %1$s',
    'The overall maximum number of clients must not be less than the number of clients waiting for authentication'
  )

export const noTlsService = (): RemoteError => internalError('no tls service found, unable to update tls files')

/** What an operator asks for that cannot be while the broker is in this state. */
export const notNow = (state: string): RemoteError =>
  templated(CODE.operationInvalid, DOMAIN.none, 'Requested operation is not valid: %1$s', `the broker is ${state}`)

/** What an operator asks for does not work, for a reason of its own. */
export const failed = (why: string): RemoteError => templated(CODE.operationFailed, DOMAIN.none, 'operation failed: %1$s', why)

const INVALID = 'invalid argument: '
const INTERNAL = 'internal error: '

/** What a start would have failed with. `domain`: of the part of libvirt that raises it here. */
export function asRemote(error: unknown, domain: number): unknown {
  if (!(error instanceof StartupError)) return error
  const { message, errno } = error
  if (message.startsWith(INVALID)) return invalidArgument(message.slice(INVALID.length))
  if (message.startsWith(INTERNAL)) return internalError(message.slice(INTERNAL.length), domain)
  return systemError(errno === 0 ? -1 : errno, message, domain)
}
