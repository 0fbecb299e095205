import type { Cleanup } from './cleanup.js'
import { mustRun, printed, Program } from './processes.js'

/** Lives as long as its input is open: when the test process ends, in whatever way, the namespace goes with it. */
const HOST = 'ip link set lo up && echo ready && read -r line'

/** Hosts that are nothing but networks of their own: they share files and processes with the test. */
export class NetworkHost {
  readonly #init: Program

  private constructor(init: Program) {
    this.#init = init
  }

  static async start(cleanup: Cleanup): Promise<NetworkHost> {
    const init = new Program(['unshare', '--net', 'sh', '-c', HOST])
    cleanup.defer(async () => {
      init.child.stdin.end()
      await init.stop('SIGTERM')
    })
    await printed(init, /^ready$/m)
    return new NetworkHost(init)
  }

  /** The command that runs another one there. */
  inside(argv: readonly string[]): string[] {
    return ['nsenter', '-t', String(this.#init.pid), '-n', '--', ...argv]
  }

  /** Starts a program there, which ends with the test. */
  start(cleanup: Cleanup, argv: readonly string[], env: Record<string, string> = {}): Program {
    const program = new Program(this.inside(argv), { env: { ...process.env, ...env } })
    cleanup.defer(() => program.stop('SIGKILL'))
    return program
  }

  async ip(command: string): Promise<void> {
    await mustRun(this.inside(['ip', ...command.split(' ')]))
  }

  /** A cable between two of them: `NETWORK.1` at this end, `NETWORK.2` at the other, which reaches everybody through this one. */
  async joinTo(other: NetworkHost, network: string): Promise<void> {
    const name = `v${network.replaceAll('.', '-')}`
    await this.ip(`link add ${name} type veth peer name wire netns ${other.#init.pid}`)
    await this.ip(`addr add ${network}.1/24 dev ${name}`)
    await this.ip(`link set ${name} up`)
    await other.ip(`addr add ${network}.2/24 dev wire`)
    await other.ip('link set wire up')
    await other.ip(`route add default via ${network}.1`)
  }
}
