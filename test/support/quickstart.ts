import { cp, mkdir, realpath, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { printed, Program, run } from './processes.js'
import { tempDir } from './temp-dir.js'

const root = new URL('../../../', import.meta.url).pathname

/** A copy of the built broker where nobody but root can read it, like a clone in /root. */
export async function closedCopy(cleanup: Cleanup): Promise<string> {
  const dir = join(await tempDir(cleanup), 'clone')
  await mkdir(dir, { mode: 0o700 })
  await cp(join(root, 'dist'), join(dir, 'dist'), { recursive: true })
  await cp(join(root, 'package.json'), join(dir, 'package.json'))
  await symlink(await realpath(join(root, 'node_modules')), join(dir, 'node_modules'))
  return dir
}

type Inside = (argv: readonly string[]) => string[]

/** What `npm start` runs when it has built; `inside` puts a command line into its surroundings. */
export class Quickstart {
  private constructor(readonly program: Program, readonly dir: string, readonly inside: Inside) {}

  static async start(
    cleanup: Cleanup,
    port: number,
    { clone = root, inside = argv => [...argv] }: { clone?: string; inside?: Inside } = {}
  ): Promise<Quickstart> {
    const script = join(clone, 'dist/main/quickstart.js')
    const program = new Program(inside([process.execPath, script, '--port', String(port)]))
    cleanup.defer(() => program.stop())
    const [, dir] = await printed(program, /\?socket=(.*)\/libvirt-sock' console[^]*Ctrl-C here/)
    const quickstart = new Quickstart(program, dir!, inside)
    cleanup.defer(() => quickstart.stop())
    return quickstart
  }

  get files(): string { return join(this.dir, 'test-driver') }

  /** As Ctrl-C does. Its id is asked from its pid file: what we started can be nsenter(1). */
  async stop(): Promise<void> {
    if (this.program.ended) return
    await run(this.inside(['sh', '-c', 'kill -INT "$(cat "$1")"', 'sh', join(this.dir, 'virtbrokerd.pid')]))
    await this.program.exited
  }
}
