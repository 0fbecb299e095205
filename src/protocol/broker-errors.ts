import { CODE, constantError, DOMAIN, internalError, rpcError, systemError, templated } from './errors.js'

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

/** What calls that change something get while there can be no record of them (`audit_fail_closed`). */
export const unrecorded = constantError(() =>
  systemError(EIO, 'the call is refused: records of the audit cannot be written, and audit_fail_closed is set')
)

/** What a call gets of which there is a record, or may be, while one of its procedure with its serial is not answered. */
export const serialInUse = constantError(() => rpcError('the serial is that of a call which is not answered'))

const EIO = 5

/** The one answer to everything that goes wrong with authentication: the reason is for the log only. */
export const authenticationFailed = constantError(() =>
  templated(CODE.authFailed, DOMAIN.rpc, 'authentication failed: %1$s', 'authentication failed')
)
