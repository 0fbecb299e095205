import { QEMU } from '../../protocol/procedures.js'
import type { HandlerTable } from './call.js'
import { domainInfoHandlers } from './domain/info-handlers.js'
import { domainIoThreadHandlers } from './domain/iothread-handlers.js'
import { domainLifeHandlers } from './domain/life-handlers.js'
import { domainLookupHandlers } from './domain/lookup-handlers.js'
import { domainMetadataHandlers } from './domain/metadata-handlers.js'
import { domainResourceHandlers } from './domain/resource-handlers.js'
import { domainSavingHandlers } from './domain/saving-handlers.js'
import { domainStatsHandlers } from './domain/stats-handlers.js'
import { domainStreamHandlers } from './domain/stream-handlers.js'
import { domainTunableHandlers } from './domain/tunable-handlers.js'
import { connectionHandlers } from './door.js'
import { eventHandlers } from './event/event-handlers.js'
import { checkpointHandlers } from './moment/checkpoint-handlers.js'
import { snapshotHandlers } from './moment/snapshot-handlers.js'
import { interfaceHandlers } from './network/interface-handlers.js'
import { networkHandlers } from './network/network-handlers.js'
import { nodeDeviceHandlers } from './node/node-device-handlers.js'
import { nodeHandlers } from './node/node-handlers.js'
import { secretHandlers } from './secret/secret-handlers.js'
import { poolHandlers } from './storage/pool-handlers.js'
import { volumeHandlers } from './storage/volume-handlers.js'
import { readDomain } from './wire.js'

/** The calls of the qemu program that it serves, beyond what libvirt's test driver does. */
export const qemuHandlers: HandlerTable = {
  // The monitor of a guest that does not exist answers with what it was asked, and the files that came along.
  [QEMU.domainMonitorCommandWithFiles]: call => {
    call.hypervisor.domain(readDomain(call.args)).requireActive()
    call.reply.string(call.args.string())
    call.replyDescriptors.push(...call.descriptors.splice(0))
  }
}

/** Everything that the driver serves once a connection is open. What is not here answers "not supported". */
export const allHandlers: HandlerTable = {
  ...connectionHandlers,
  ...nodeHandlers,
  ...domainLookupHandlers,
  ...domainLifeHandlers,
  ...domainInfoHandlers,
  ...domainStatsHandlers,
  ...domainResourceHandlers,
  ...domainIoThreadHandlers,
  ...domainTunableHandlers,
  ...domainMetadataHandlers,
  ...domainSavingHandlers,
  ...domainStreamHandlers,
  ...snapshotHandlers,
  ...checkpointHandlers,
  ...networkHandlers,
  ...interfaceHandlers,
  ...poolHandlers,
  ...volumeHandlers,
  ...nodeDeviceHandlers,
  ...secretHandlers,
  ...eventHandlers
}
