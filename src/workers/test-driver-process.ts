import { startTestDriver } from './test-driver/main.js'

/** What the process is told, once. */
export interface TestDriverTask {
  socketPath: string
}

/** What it says: that its sockets are there, or what failed in it. */
export interface TestDriverNews {
  ready?: boolean
  failure?: string
}

// These are for the broker, which gets them from terminal or systemd too, and then ends us. (Unheard, SIGUSR1 would
// open Node's debugger to everybody on this host.)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const) {
  process.on(signal, () => undefined)
}
// The broker wants us to end, or has ended itself. The kernel closes what is open.
process.once('disconnect', () => process.exit(0))
process.once('uncaughtException', error => say({ failure: described(error) }, () => process.exit(1)))
process.once('message', (task: TestDriverTask) => {
  try {
    startTestDriver({ socketPath: task.socketPath, onFailure: error => say({ failure: described(error) }) })
    say({ ready: true })
  } catch (error) {
    say({ failure: (error as Error).message }, () => process.exit(1))
  }
})

const say = (news: TestDriverNews, said?: () => void): void => void process.send?.(news, undefined, undefined, said)
const described = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error))
