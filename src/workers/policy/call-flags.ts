import { REMOTE } from '../../protocol/procedures.js'
import { decodeArguments } from './arguments.js'

/**
 * What stands before the flags in the arguments of calls whose permissions depend on their flags
 * (`remote_protocol.x`; see `decodeArguments` for the letters). They are read from the front, because daemons ignore
 * what a client appends.
 */
const BEFORE_FLAGS: ReadonlyMap<number, string> = new Map([
  [REMOTE.domainGetXmlDesc, 'D'],
  [REMOTE.domainReboot, 'D'],
  [REMOTE.domainAttachDeviceFlags, 'Ds'],
  [REMOTE.domainDetachDeviceFlags, 'Ds'],
  [REMOTE.domainUpdateDeviceFlags, 'Ds'],
  [REMOTE.domainSnapshotCreateXml, 'Ds'],
  [REMOTE.domainSnapshotGetXmlDesc, 'sD'],
  [REMOTE.domainSetMemoryParameters, 'Dp'],
  [REMOTE.domainSetVcpusFlags, 'Du'],
  [REMOTE.domainGetVcpusFlags, 'D'],
  [REMOTE.domainSetMemoryFlags, 'Dh'],
  [REMOTE.domainSetBlkioParameters, 'Dp'],
  [REMOTE.domainSetSchedulerParametersFlags, 'Dp'],
  [REMOTE.domainPinVcpuFlags, 'Dub'],
  [REMOTE.domainSetBlockIoTune, 'Dsp'],
  [REMOTE.domainSetNumaParameters, 'Dp'],
  [REMOTE.domainSetInterfaceParameters, 'Dsp'],
  [REMOTE.domainShutdownFlags, 'D'],
  [REMOTE.domainSetMetadata, 'Duooo'],
  [REMOTE.domainPinEmulator, 'Db'],
  [REMOTE.networkUpdate, 'Nuuus'],
  [REMOTE.domainSetMemoryStatsPeriod, 'Du'],
  [REMOTE.domainPinIothread, 'Dub'],
  [REMOTE.domainInterfaceAddresses, 'D'],
  [REMOTE.domainAddIothread, 'Du'],
  [REMOTE.domainDelIothread, 'Du'],
  [REMOTE.domainSetVcpu, 'Dsu'],
  [REMOTE.domainManagedSaveGetXmlDesc, 'D'],
  [REMOTE.domainDetachDeviceAlias, 'Ds'],
  [REMOTE.domainSetIothreadParams, 'Dup'],
  [REMOTE.domainCheckpointCreateXml, 'Ds'],
  [REMOTE.domainCheckpointGetXmlDesc, 'sD'],
  [REMOTE.networkSetMetadata, 'Nuooo'],
  [REMOTE.nodeDeviceUpdate, 'ss']
])

/** Values of the flags that permissions depend on, of libvirt's public headers. */
export const FLAG: Readonly<Record<string, number>> = {
  VIR_DOMAIN_AFFECT_LIVE: 1,
  VIR_DOMAIN_AFFECT_CONFIG: 2,
  VIR_DOMAIN_CHECKPOINT_CREATE_QUIESCE: 2,
  VIR_DOMAIN_CHECKPOINT_XML_SECURE: 1,
  VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT: 1,
  VIR_DOMAIN_REBOOT_GUEST_AGENT: 2,
  VIR_DOMAIN_SAVE_IMAGE_XML_SECURE: 1,
  VIR_DOMAIN_SHUTDOWN_GUEST_AGENT: 2,
  VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE: 64,
  VIR_DOMAIN_SNAPSHOT_XML_SECURE: 1,
  VIR_DOMAIN_VCPU_GUEST: 8,
  VIR_DOMAIN_XML_MIGRATABLE: 8,
  VIR_DOMAIN_XML_SECURE: 1,
  VIR_NETWORK_UPDATE_AFFECT_CONFIG: 2,
  VIR_NETWORK_UPDATE_AFFECT_LIVE: 1,
  VIR_NODE_DEVICE_UPDATE_AFFECT_CONFIG: 2,
  VIR_NODE_DEVICE_UPDATE_AFFECT_LIVE: 1
}

/** Whether `callFlags` can read this call of the remote program. */
export const hasKnownFlags = (proc: number): boolean => BEFORE_FLAGS.has(proc)

/**
 * The flags of a call, or undefined if its arguments do not decode. Of DOMAIN_INTERFACE_ADDRESSES it is the source of
 * the addresses, which stands where the flags of others do and is what its permissions depend on.
 */
export function callFlags(proc: number, body: Buffer): number | undefined {
  return decodeArguments(body, BEFORE_FLAGS.get(proc) ?? '', xdr => xdr.u32())
}
