import './life/node-version.js'
import '#workers/no-debugger.js'
import { startClean } from './life/clean-start.js'

await startClean()
await import('./demonstration.js')
