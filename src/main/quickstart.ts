import './node-version.js'
import '#workers/no-debugger.js'
import { startClean } from './clean-start.js'

await startClean()
await import('./demonstration.js')
