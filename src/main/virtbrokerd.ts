#!/usr/bin/env node
import './life/node-version.js'
import '#workers/os/no-debugger.js'
import { startClean } from './life/clean-start.js'

// Nothing else is imported before these have been evaluated.
await startClean()
// Modules that are loaded at once have a descriptor each: in two goes a limit of 64 is enough.
await import('./life/supervisor.js')
await import('./broker.js')
