import { badArgument as badArgumentOf, checkFlags as checkFlagsOf } from '../../protocol/bad-arguments.js'
import { CODE, DOMAIN, RemoteError, templated } from '../../protocol/errors.js'

/** Code of "more than one snapshot could be meant to be lost", `VIR_ERR_SNAPSHOT_REVERT_RISKY`. */
const REVERT_RISKY = 77
/** `VIR_ERR_MULTIPLE_INTERFACES` */
const MULTIPLE_INTERFACES = 54
/** `VIR_ERR_DOM_EXIST`, which the domain list raises under the domain of `VIR_FROM_DOMAIN`. */
const NO_CHECKPOINT = 103

type Failure = (detail: string, domain?: number) => RemoteError

const failure =
  (code: number, template: string): Failure =>
    (detail, domain = DOMAIN.test) =>
      templated(code, domain, `${template}: %1$s`, detail)

// One maker a code, with libvirt's template (`virErrorMsg`). The error's domain is the test driver's unless said.
export const internal = failure(CODE.internalError, 'internal error')
export const unsupported = failure(CODE.noSupport, 'this function is not supported by the connection driver')
export const invalidArg = failure(CODE.invalidArg, 'invalid argument')
export const operationFailed = failure(CODE.operationFailed, 'operation failed')
export const xmlFailure = failure(CODE.xmlError, 'XML error')
export const denied = failure(CODE.operationDenied, 'operation forbidden')
export const noDomain = failure(CODE.noDomain, 'Domain not found')
export const noNetwork = failure(CODE.noNetwork, 'Network not found')
export const noPool = failure(CODE.noStoragePool, 'Storage pool not found')
export const noVolume = failure(CODE.noStorageVolume, 'Storage volume not found')
export const noNodeDevice = failure(CODE.noNodeDevice, 'Node device not found')
export const invalid = failure(CODE.operationInvalid, 'Requested operation is not valid')
export const noInterface = failure(CODE.noInterface, 'Interface not found')
export const noSecret = failure(CODE.noSecret, 'Secret not found')
export const configUnsupported = failure(CODE.configUnsupported, 'unsupported configuration')
export const noSnapshot = failure(CODE.noDomainSnapshot, 'Domain snapshot not found')
export const noCheckpoint = failure(NO_CHECKPOINT, 'Domain checkpoint not found')
export const argumentUnsupported = failure(CODE.argumentUnsupported, 'argument unsupported')
export const noMetadata = failure(CODE.noDomainMetadata, 'metadata not found')
export const operationUnsupported = failure(CODE.operationUnsupported, 'Operation not supported')
export const riskyRevert = failure(REVERT_RISKY, 'revert requires force')

/** An error that libvirt raises without any detail: the text is the template's short form. */
function bare(code: number, message: string): RemoteError {
  return new RemoteError(code, DOMAIN.test, message, { str1: message })
}

export const domainMissing = (): RemoteError => bare(CODE.noDomain, 'Domain not found')
export const interfaceStateWrong = (): RemoteError => bare(CODE.operationInvalid, 'Requested operation is not valid')
export const interfacesAmbiguous = (): RemoteError => bare(MULTIPLE_INTERFACES, 'multiple matching interfaces found')

export const badArgument = (message: string, cFunction: string, argument: string, domain: number = DOMAIN.test): RemoteError =>
  badArgumentOf(message, cFunction, argument, domain)

export const checkFlags = (flags: number, allowed: number, cFunction: string, domain: number = DOMAIN.test): void =>
  checkFlagsOf(flags, allowed, cFunction, domain)
