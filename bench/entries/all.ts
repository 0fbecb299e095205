import { bystanders } from './bystanders.js'
import { churnMemory } from './churn-memory.js'
import { connectCycle } from './connect-cycle.js'
import { crowd } from './crowd.js'
import type { Entry } from './entry.js'
import { fairness } from './fairness.js'
import { fixedRate } from './fixed-rate.js'
import { hotThread } from './hot-thread.js'
import { idleMemory } from './idle-memory.js'
import { mixed } from './mixed.js'
import { payloads } from './payloads.js'
import { proxyLimit } from './proxy-limit.js'
import { smallCalls } from './small-calls.js'
import { storm } from './storm.js'
import { streams } from './streams.js'
import { threads } from './threads.js'
import { tls } from './tls.js'

/** In the order of the page: what is asked for most comes first. */
export const ENTRIES: readonly Entry[] = [
  smallCalls, proxyLimit, fixedRate, connectCycle, storm, crowd, idleMemory, churnMemory, payloads, streams, tls, mixed, bystanders,
  fairness, hotThread, threads
]
