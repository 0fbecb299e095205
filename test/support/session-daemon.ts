import { readFileSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { tempDir } from './temp-dir.js'

/** What a played daemon wrote down when it was started. */
export interface DaemonRun {
  pid: number
  args: string[]
  env: Record<string, string>
  cwd: string
  /** What its descriptors stood for when it began, but for Node's own. */
  descriptors: string[]
  /** Process id of the leader of its session. */
  session: number
  /** The soft and the hard limit of descriptors. */
  files: [number, number]
}

/** Writes down how it was started, and then does as the test says. */
const script = (dir: string, then: string): string => `#!/usr/bin/python3
import json, os, resource, socket, sys, time
# The one that lists the directory is closed by now.
found = {fd: os.path.exists(f'/proc/self/fd/{fd}') and os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd')}
descriptors = sorted(link for link in found.values() if link)
run = dict(pid=os.getpid(), args=sys.argv[1:], env=dict(os.environ), cwd=os.getcwd(), descriptors=descriptors, session=os.getsid(0),
    files=resource.getrlimit(resource.RLIMIT_NOFILE))
with open('${dir}/runs', 'a') as runs: runs.write(json.dumps(run) + '\\n')
def listen():
    global listener
    listener = socket.socket(socket.AF_UNIX)
    path = os.environ['XDG_RUNTIME_DIR'] + '/libvirt/' + os.path.basename(sys.argv[0]) + '-sock'
    if os.path.exists(path): os.unlink(path)
    listener.bind(path)
    listener.listen(100)
${then}
`

/** A directory for driver daemons that do what the test says. */
export class SessionDaemonPrograms {
  private constructor(readonly dir: string) {}

  static async make(cleanup: Cleanup): Promise<SessionDaemonPrograms> {
    const programs = new SessionDaemonPrograms(await tempDir(cleanup))
    await mkdir(join(programs.runtimeDir, 'libvirt'), { recursive: true })
    cleanup.defer(() => {
      for (const { pid } of programs.runs) end(pid)
      return Promise.resolve()
    })
    return programs
  }

  /** `then`: Python, in which `listen()` makes the daemon's socket. */
  async install(name: string, then: string): Promise<void> {
    await writeFile(join(this.dir, name), script(this.dir, then))
    await chmod(join(this.dir, name), 0o755)
  }

  get runtimeDir(): string { return join(this.dir, 'run') }
  get runDir(): string { return join(this.runtimeDir, 'libvirt') }

  /** In the order in which they were started. */
  get runs(): DaemonRun[] {
    try {
      return readFileSync(join(this.dir, 'runs'), 'utf8').trim().split('\n').map(line => JSON.parse(line) as DaemonRun)
    } catch {
      return []
    }
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}
