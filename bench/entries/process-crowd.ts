import type { Bench, Stage } from '../bench.js'
import { ProcessCrowd } from '../load/process-crowd.js'
import { inTurns } from '../rounds.js'
import { callingBeside, mostClients, noneAndMost, recordConnections, withCrowds, type CrowdWish } from './crowds.js'
import { TEST_URI, type Entry } from './entry.js'

const PROCESSES = 'idle processes'
const CALLERS = 16

/** A process for each client, at each peer's UNIX socket. */
async function processes(bench: Bench, stage: Stage, clients: number, everyMs?: number): Promise<ProcessCrowd[]> {
  const crowds: ProcessCrowd[] = []
  for (const { name, socket } of stage.peers) {
    if (socket === undefined) throw new Error(`${name} has no UNIX socket`)
    bench.progress(name, { processes: clients }, 'opening')
    const crowd = stage.keep(new ProcessCrowd(socket, TEST_URI, clients, everyMs))
    await crowd.opened()
    crowds.push(crowd)
  }
  return crowds
}

/** As `crowd`, with processes at the UNIX socket: nobody shares with them, as the daemon is told each process. */
export const processCrowd: Entry = {
  name: 'process-crowd',
  claim: 'Idle processes at the UNIX socket do not slow down those that call.',
  goals: [{ figure: 'rate', against: { [PROCESSES]: 0 }, limit: 0.8 }],
  run(bench) {
    const fill = async (stage: Stage, clients: number): Promise<void> => {
      if (clients > 0) await processes(bench, stage, clients)
    }
    const idle: CrowdWish = { callers: CALLERS, stage: () => ({ peers: ['virtbroker'] }), fill }
    return withCrowds(bench, noneAndMost(bench), idle, async crowds => {
      await inTurns(bench, {}, callingBeside(crowds, PROCESSES, CALLERS))
      recordConnections(bench, crowds, PROCESSES)
    })
  }
}

/** Each calls now and then; between two calls its connection to the daemon may be closed. */
export const pollingProcesses: Entry = {
  name: 'polling-processes',
  claim: 'With shared driver connections, thousands of processes that poll now and then cost the daemon less than without a proxy.',
  goals: [{ figure: 'CPU of the driver', against: 'direct', limit: 0.7 }],
  run: bench => bench.onStage({ sharing: true, peers: ['virtbroker', 'direct'] }, async stage => {
    const clients = mostClients(bench)
    const { pollMs } = bench.scale
    const crowds = await processes(bench, stage, clients, pollMs)
    const contenders = stage.peers.map((peer, i) => ({ peer, load: crowds[i]!, work: (ms: number) => crowds[i]!.calls(ms) }))
    await inTurns(bench, { processes: clients, 'seconds between calls': pollMs / 1000 }, contenders, { rate: false })
    recordConnections(bench, [{ clients, stage, callers: [] }], 'processes')
  })
}
