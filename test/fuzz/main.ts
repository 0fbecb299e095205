import { Option, program } from 'commander'
import { Cleanup } from '../support/cleanup.js'
import { attackAdminSocket } from './admin-campaign.js'
import { after } from './campaign.js'
import { attackWithClients } from './client-campaign.js'
import { attackWithDaemon } from './driver-campaign.js'
import { attackAsGuests, attackAsReaders, callInACrowd } from './guest-campaign.js'
import { attackInTime } from './time-campaign.js'

const campaigns = {
  clients: attackWithClients, daemon: attackWithDaemon, guests: attackAsGuests, readers: attackAsReaders, calls: callInACrowd,
  admin: attackAdminSocket
} as const

interface Options {
  seconds: string
  frames?: string
  seed?: string
  only?: keyof typeof campaigns | 'time'
  deeds?: string
}

program
  .name('npm run fuzz --')
  .description(
    'Attacks a broker with hostile clients, that share driver connections with others too, a hostile driver daemon, ' +
      'mutated calls on its admin socket, and with what takes most time, memory or log. ' +
      'Ends with an error if it, or a client that behaves, suffers.'
  )
  .option('--seconds <n>', 'how long each attack; a tenth of it for each of those that take time', '60')
  .option('--frames <n>', 'until each has sent so many frames besides pings, however long that takes')
  .option('--seed <n>', 'repeats a course')
  .addOption(new Option('--only <attack>', 'one of them').choices([...Object.keys(campaigns), 'time']))
  .option('--deeds <pattern>', 'of those that take time, the ones whose names fit')
  .parse()

const { seconds, deeds, frames: wantedFrames, seed: wantedSeed, only } = program.opts<Options>()
const seed = wantedSeed === undefined ? Date.now() & 0x7fffffff : Number(wantedSeed)
let sum = 0

for (const [name, attack] of Object.entries(campaigns)) {
  if (only !== undefined && only !== name) continue
  const cleanup = new Cleanup()
  console.log(`${name}: seed ${seed}, ${wantedFrames === undefined ? `${seconds} s` : `${wantedFrames} frames`}`)
  const enough = wantedFrames === undefined ? after(Number(seconds)) : (sent: number) => sent >= Number(wantedFrames)
  try {
    const { frames, report } = await attack(cleanup, { seed, enough })
    sum += frames
    console.log(report)
  } finally {
    await cleanup.run()
  }
}
console.log(`${sum} frames in all`)

if (only === undefined || only === 'time') {
  const cleanup = new Cleanup()
  try {
    const seconds_ = Math.max(1, Number(seconds) / 10)
    await attackInTime(cleanup, { seconds: seconds_, only: deeds === undefined ? undefined : new RegExp(deeds), report: console.log })
  } finally {
    await cleanup.run()
  }
}
