import inspector from 'node:inspector'

/**
 * Node answers SIGUSR1 by opening its debugger: whoever can connect to port 9229 of this host then does what he likes in
 * this process, and is told how by anybody who asks there. So the signal is caught, as early as a program can; one that
 * came before has its effect within a few turns of the loop, and that is undone.
 *
 * (`--disable-sigusr1`, which later releases of Node have, blocks the signal instead, for other uses too.)
 */
// This is where log files will be opened anew.
process.on('SIGUSR1', () => undefined)

/** How long a debugger that was asked for may take to open, on a busy machine. */
const LATER_MS = [0, 100, 1000]

/** One that was asked for on the command line is somebody's who develops this program. */
const wanted = process.execArgv.some(option => option.startsWith('--inspect'))

function closeDebugger(): void {
  if (inspector.url() !== undefined) inspector.close()
}

if (!wanted) {
  closeDebugger()
  for (const ms of LATER_MS) setTimeout(closeDebugger, ms).unref()
}
