import './life/node-version.js'
import '#workers/os/no-debugger.js'
import { startClean } from './life/clean-start.js'

await startClean()
await import('./demonstration.js')
