#!/usr/bin/env node
import './life/node-version.js'
import '#workers/os/no-debugger.js'
import { startClean } from './life/clean-start.js'

// Nothing else is imported before these have been evaluated.
await startClean()
await import('./broker.js')
