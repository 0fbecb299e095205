import { readdirSync } from 'node:fs'
import inspector from 'node:inspector'

/**
 * Node answers SIGUSR1 by opening its debugger: whoever can connect to port 9229 of this host then does what he likes in
 * this process, and is told how by anybody who asks there. So the signal is caught, as early as a program can; one that
 * came before has its effect within a few turns of the loop, and that is undone.
 *
 * (`--disable-sigusr1`, which later releases of Node have, blocks the signal, and so for other uses too.)
 */
process.on('SIGUSR1', () => undefined)

/** How long a debugger that was asked for may take to open, on a busy machine. */
const LATER_MS = [0, 100, 1000]

/** One that was asked for on the command line is somebody's who develops this program. */
const wanted = process.execArgv.some(option => option.startsWith('--inspect'))

if (!wanted) {
  await closeDebugger()
  for (const ms of LATER_MS) setTimeout(() => void closeDebugger(), ms).unref()
}

async function closeDebugger(): Promise<void> {
  if (inspector.url() === undefined) return
  // Loaded only here: it is hardly ever needed, and the signal is to be caught before.
  const [{ endpoint }, { SHUT_RDWR, shutdown }] = await Promise.all([
    import('./address.js'),
    import('./libc.js')
  ])
  const url = inspector.url()
  if (url === undefined) return
  // Left to itself, Node waits until whoever is connected is so kind as to leave.
  const port = Number(new URL(url).port)
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    if (endpoint(fd, 'local')?.port === port) shutdown(fd, SHUT_RDWR)
  }
  inspector.close()
}
