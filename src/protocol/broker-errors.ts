import { CODE, constantError, DOMAIN, internalError, rpcError, templated } from './errors.js'

/** What virtproxyd answers to calls after the driver daemon has gone. */
export const driverClosed = constantError(() => internalError('client socket is closed'))

/** What calls and streams get that are not done when a stop waits no longer. */
export const stopping = constantError(() => rpcError('the broker was stopped while this was in progress'))

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
