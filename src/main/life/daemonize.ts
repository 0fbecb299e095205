import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { EXIT } from '../config/startup-error.js'
import { PROGRAM } from '../config/paths.js'

/** Set in the environment of the process that was started for `-d`. */
const MARK = 'VIRTBROKERD_DAEMON'

/** What the daemon tells the process that started it: 0 when pid file and sockets are there, or its exit code. */
interface Status {
  code: number
  /** Why it could not start. */
  why?: string
}

const FAILURES: Record<number, string> = {
  [EXIT.failure]: 'Unable to obtain pidfile',
  [EXIT.runDir]: 'Unable to create rundir',
  [EXIT.init]: 'Unable to initialize libvirt',
  [EXIT.network]: 'Unable to initialize network sockets'
}

export const isDaemon = (): boolean => process.env[MARK] !== undefined

/** To be told to the starting process as soon as the outcome is known. Does nothing in the foreground. */
export function reportStatus(code: number, why?: string): void {
  if (!isDaemon() || process.send === undefined) return
  process.send({ code, ...(why !== undefined && { why }) } satisfies Status, undefined, {}, () => process.disconnect())
}

/**
 * `-d`: starts this program again, detached and without standard streams, and waits for its status. A process with
 * threads cannot fork, so this is a new start of its own, in the same directory because the arguments may name files in
 * it. Resolves to the exit code, 0 or 1 as virtproxyd's.
 */
export function daemonize(argv: readonly string[]): Promise<number> {
  const script = fileURLToPath(new URL('../virtbrokerd.js', import.meta.url))
  const child = spawn(process.execPath, [...process.execArgv, script, ...argv], {
    detached: true,
    env: { ...process.env, [MARK]: '1' },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc']
  })
  return new Promise(resolve => {
    const end = ({ code, why }: Status): void => {
      if (code !== 0) {
        if (why !== undefined) process.stderr.write(`${PROGRAM}: ${why}\n`)
        const text = FAILURES[code] ?? 'Unable to start'
        process.stderr.write(
          `${PROGRAM}: error: ${text}. Check /var/log/messages or run without --daemon for more info.\n`
        )
      }
      resolve(code === 0 ? 0 : 1)
    }
    child.once('message', status => {
      child.removeAllListeners('exit')
      child.unref()
      end(status as Status)
    })
    child.once('exit', code => end({ code: code ?? 1 }))
  })
}
