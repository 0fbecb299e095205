import { CODE, DOMAIN, internalError, templated, type RemoteError } from '../../protocol/errors.js'

/** What virtproxyd answers to calls after the driver daemon has gone. */
export const driverClosed = (): RemoteError => internalError('client socket is closed')

/** What a hypervisor's call gets before CONNECT_OPEN. */
export const notOpen = (): RemoteError => internalError('hypervisor connection not open')

/** What a call of the secondary drivers (network, storage, …) gets before CONNECT_OPEN. */
export const secondaryNotOpen = (): RemoteError => internalError('connection not open')

/** What libvirt's own access checks answer, where `virtbroker` would be the driver's name. */
export const accessDenied = (): RemoteError =>
  templated(CODE.accessDenied, DOMAIN.access, 'access denied: %1$s', "'virtbroker' denied access")

/** The one answer to everything that goes wrong with authentication: the reason is for the log only. */
export const authenticationFailed = (): RemoteError =>
  templated(CODE.authFailed, DOMAIN.rpc, 'authentication failed: %1$s', 'authentication failed')
