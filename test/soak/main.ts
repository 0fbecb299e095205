import { program } from 'commander'
import { Cleanup } from '../support/cleanup.js'
import { soakWithSlowReaders } from './slow-readers.js'
import { soak } from './soak.js'

program
  .name('npm run soak --')
  .description('Clients, daemons and threads come and die for a while; ends with an error if anything is lost or stuck.')
  .option('--minutes <n>', 'how long', '2')
  .option('--seed <n>', 'makes the same choices again')
  .option('--slow-readers <minutes>', 'instead, a hundred clients that do not read what comes for them')
  .parse()

const { minutes, seed: wanted, slowReaders } = program.opts<{ minutes: string; seed?: string; slowReaders?: string }>()
const seed = wanted === undefined ? Date.now() & 0x7fffffff : Number(wanted)
const cleanup = new Cleanup()
try {
  if (slowReaders !== undefined) console.log(await soakWithSlowReaders(cleanup, 60 * Number(slowReaders)))
  else {
    console.log(`soak: ${minutes} min, seed ${seed}`)
    console.log(await soak(cleanup, 60 * Number(minutes), seed))
  }
} catch (error) {
  // The end of what was started may fail because of the same.
  console.error(error)
  process.exitCode = 1
} finally {
  await cleanup.run()
}
