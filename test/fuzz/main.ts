import { Option, program } from 'commander'
import { Cleanup } from '../support/cleanup.js'
import { attackWithClients } from './client-campaign.js'
import { attackWithDaemon } from './driver-campaign.js'

const campaigns = { clients: attackWithClients, daemon: attackWithDaemon } as const

interface Options {
  seconds: string
  seed?: string
  only?: keyof typeof campaigns
}

program
  .name('npm run fuzz --')
  .description('Attacks a broker with hostile clients and a hostile driver daemon. Ends with an error if it suffers.')
  .option('--seconds <n>', 'how long each of the two attacks', '60')
  .option('--seed <n>', 'repeats a course')
  .addOption(new Option('--only <attack>', 'one of the two').choices(Object.keys(campaigns)))
  .parse()

const { seconds, seed: wanted, only } = program.opts<Options>()
const seed = wanted === undefined ? Date.now() & 0x7fffffff : Number(wanted)

for (const [name, attack] of Object.entries(campaigns)) {
  if (only !== undefined && only !== name) continue
  const cleanup = new Cleanup()
  console.log(`${name}: seed ${seed}, ${seconds} s`)
  try {
    console.log(await attack(cleanup, { seed, until: performance.now() + 1000 * Number(seconds) }))
  } finally {
    await cleanup.run()
  }
}
