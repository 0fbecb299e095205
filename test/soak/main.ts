import { program } from 'commander'
import { Cleanup } from '../support/cleanup.js'
import { soak } from './soak.js'

program
  .name('npm run soak --')
  .description('Clients, daemons and threads come and die for a while; ends with an error if anything is lost or stuck.')
  .option('--minutes <n>', 'how long', '2')
  .option('--seed <n>', 'makes the same choices again')
  .parse()

const { minutes, seed: wanted } = program.opts<{ minutes: string; seed?: string }>()
const seed = wanted === undefined ? Date.now() & 0x7fffffff : Number(wanted)
const cleanup = new Cleanup()
console.log(`soak: ${minutes} min, seed ${seed}`)
try {
  console.log(await soak(cleanup, 60 * Number(minutes), seed))
} finally {
  await cleanup.run()
}
