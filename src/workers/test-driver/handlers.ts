import type { HandlerTable } from './dispatch.js'
import { checkpointHandlers } from './checkpoints.js'
import { connectionHandlers } from './door.js'
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

/** Everything that the driver serves once a connection is open. What is not here answers "not supported". */
export const allHandlers: HandlerTable = {
  ...connectionHandlers,
  ...nodeHandlers,
  ...domainLookupHandlers,
  ...domainLifeHandlers,
  ...domainInfoHandlers,
  ...domainStatsHandlers,
  ...domainResourceHandlers,
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
