import { inTurns } from '../rounds.js'
import { comingAndGoing } from './contenders.js'
import type { Bench } from '../bench.js'
import type { Entry } from './entry.js'

const AT_A_TIME = 16

/**
 * Clients come and go without pause: connect, open, close. However cheap the broker is, the driver's own part bounds the
 * rate: without any proxy it is at most three times that of libvirtd as a proxy.
 */
export const connectCycle: Entry = {
  name: 'connect-cycle',
  claim: 'Clients come and go at twice the rate of virtproxyd.',
  goals: [{ figure: 'rate', against: 'libvirtd', limit: 2 }],
  run: bench => cycle(bench)
}

/** The same with shared driver connections: most find the name open. */
export const sharedCycle: Entry = {
  name: 'shared-cycle',
  claim: 'With shared driver connections, clients come and go faster than without a proxy.',
  goals: [
    { figure: 'rate', against: 'haproxy', limit: 1.5 },
    { figure: 'rate', against: 'direct', limit: 1 },
    { figure: 'rate', against: 'libvirtd', limit: 3 }
  ],
  run: bench => cycle(bench, true)
}

const cycle = (bench: Bench, sharing = false): Promise<void> =>
  bench.onStage({ sharing }, async stage => {
    const contenders = comingAndGoing(stage, AT_A_TIME)
    await inTurns(bench, { 'at a time': AT_A_TIME }, contenders)
  })
