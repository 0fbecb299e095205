import { CODE, constantError, DOMAIN, internalError, templated } from './errors.js'

/** What virtproxyd answers to calls after the driver daemon has gone. */
export const driverClosed = constantError(() => internalError('client socket is closed'))

/** What a hypervisor's call gets before CONNECT_OPEN. */
export const notOpen = constantError(() => internalError('hypervisor connection not open'))

/** What a call of the secondary drivers (network, storage, …) gets before CONNECT_OPEN. */
export const secondaryNotOpen = constantError(() => internalError('connection not open'))

/** What libvirt's own access checks answer, where `virtbroker` would be the driver's name. */
export const accessDenied = constantError(() =>
  templated(CODE.accessDenied, DOMAIN.access, 'access denied: %1$s', "'virtbroker' denied access")
)

/** The one answer to everything that goes wrong with authentication: the reason is for the log only. */
export const authenticationFailed = constantError(() =>
  templated(CODE.authFailed, DOMAIN.rpc, 'authentication failed: %1$s', 'authentication failed')
)
