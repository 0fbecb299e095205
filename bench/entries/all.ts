import { bystanders } from './bystanders.js'
import { churnMemory } from './churn-memory.js'
import { connectCycle, sharedCycle } from './connect-cycle.js'
import { crowd, loneCaller } from './crowd.js'
import type { Entry } from './entry.js'
import { fairness } from './fairness.js'
import { fixedRate } from './fixed-rate.js'
import { hotThread } from './hot-thread.js'
import { idleMemory } from './idle-memory.js'
import { joinedReads } from './joined-reads.js'
import { listeningCrowd } from './listening-crowd.js'
import { metricsCost } from './metrics-cost.js'
import { mixed } from './mixed.js'
import { payloads } from './payloads.js'
import { pollingCrowd } from './polling-crowd.js'
import { pollingProcesses, processCrowd } from './process-crowd.js'
import { proxyLimit } from './proxy-limit.js'
import { scaleModel } from './scale-model.js'
import { sharedMemory } from './shared-memory.js'
import { sharedCalls, smallCalls } from './small-calls.js'
import { sharedStorm, storm } from './storm.js'
import { streams } from './streams.js'
import { stuck } from './stuck.js'
import { threads } from './threads.js'
import { tls } from './tls.js'
import { tlsCrowd } from './tls-crowd.js'

/** In the order of the page: what is asked for most comes first. */
export const ENTRIES: readonly Entry[] = [
  smallCalls, metricsCost, proxyLimit, fixedRate, connectCycle, storm, crowd, loneCaller, tlsCrowd, processCrowd, listeningCrowd,
  pollingCrowd, pollingProcesses, joinedReads, stuck, sharedCalls, sharedCycle, sharedStorm, sharedMemory, scaleModel, idleMemory,
  churnMemory, payloads, streams, tls, mixed, bystanders, fairness, hotThread, threads
]
