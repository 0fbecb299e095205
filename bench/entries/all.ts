import { connectCycle } from './connect-cycle.js'
import type { Entry } from './entry.js'
import { smallCalls } from './small-calls.js'

export const ENTRIES: readonly Entry[] = [smallCalls, connectCycle]
