import { QEMU } from '../../protocol/procedures.js'
import type { HandlerTable } from './call.js'
import { checkpointHandlers } from './checkpoints.js'
import { connectionHandlers } from './door.js'
import { domainIoThreadHandlers } from './domain-iothreads.js'
import { domainInfoHandlers } from './domain-info.js'
import { domainLifeHandlers } from './domain-life.js'
import { domainLookupHandlers } from './domain-lookup.js'
import { domainMetadataHandlers } from './domain-metadata.js'
import { domainResourceHandlers } from './domain-resources.js'
import { domainSavingHandlers } from './domain-saving.js'
import { domainStatsHandlers } from './domain-stats.js'
import { domainStreamHandlers } from './domain-streams.js'
import { domainTunableHandlers } from './domain-tunables.js'
import { eventHandlers } from './event-handlers.js'
import { interfaceHandlers } from './interfaces.js'
import { networkHandlers } from './networks.js'
import { nodeDeviceHandlers } from './node-devices.js'
import { nodeHandlers } from './node-handlers.js'
import { poolHandlers } from './pool-handlers.js'
import { secretHandlers } from './secrets.js'
import { snapshotHandlers } from './snapshot-handlers.js'
import { volumeHandlers } from './volume-handlers.js'
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
