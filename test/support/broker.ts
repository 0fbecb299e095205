import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { type Conf, confText } from './conf-file.js'
import { freePort } from './free-port.js'
import { Program } from './processes.js'
import { canConnect } from './sockets.js'
import { tempDir } from './temp-dir.js'
import { waitFor } from './waiting.js'

const executable = new URL('../../../dist/main/virtbrokerd.js', import.meta.url).pathname

/** Whole suites are run with what clients may share, too: `VIRTBROKER_TEST_SHARING=off npm test`. */
const { VIRTBROKER_TEST_SHARING } = process.env
const sharing: Conf = VIRTBROKER_TEST_SHARING === undefined ? {} : { driver_sharing: VIRTBROKER_TEST_SHARING }

/** What a broker runs under: options of prlimit(1) and of node, variables, and a command that is to start it. */
export interface BrokerSurroundings {
  limits?: readonly string[]
  nodeOptions?: readonly string[]
  within?: readonly string[]
  /** Beside our own environment. */
  env?: NodeJS.ProcessEnv
  /** Is told of the program as soon as it has been started. */
  started?: (program: Program) => void
}

/**
 * A broker under test, in its own process, with all sockets in a temporary directory and TCP on a free port. Clients
 * are spread evenly over its threads, driver connections that they share are closed soon after the last client, and nobody
 * is waited for at its end.
 */
export class Broker {
  private constructor(readonly dir: string, readonly tcpPort: number, readonly program: Program, readonly conf: Conf) {}

  /**
   * @param conf keys of virtproxyd.conf and the broker's own; they win over the defaults of the tests
   */
  static async start(cleanup: Cleanup, conf: Conf, under: BrokerSurroundings = {}): Promise<Broker> {
    const dir = typeof conf.unix_sock_dir === 'string' ? conf.unix_sock_dir : await tempDir(cleanup)
    const port = await freePort()
    const confPath = join(dir, 'broker.conf')
    const whole = {
      unix_sock_dir: dir, auth_unix_rw: 'none', auth_unix_ro: 'none',
      listen_tcp: 1, listen_addr: '127.0.0.1', tcp_port: String(port), auth_tcp: 'none',
      embedded_test_driver: 0, actor_min_clients: 1, shutdown_timeout: 0, driver_idle_timeout: 1, ...sharing, ...conf
    }
    await writeFile(confPath, confText(whole))
    const limits = under.limits === undefined ? [] : ['prlimit', ...under.limits, '--']
    const program = new Program([
      ...under.within ?? [], ...limits, process.execPath, ...under.nodeOptions ?? [], executable,
      '-f', confPath, '-p', join(dir, 'broker.pid')
    ], { env: { ...process.env, ...under.env } })
    under.started?.(program)
    cleanup.defer(() => program.stop())
    const broker = new Broker(dir, port, program, whole)
    for (const where of [broker.socket, broker.roSocket, port]) {
      await waitFor(`the broker on ${where}`, () => {
        if (program.ended) throw new Error(`the broker ended: ${program.describe()}`)
        return canConnect(where)
      })
    }
    return broker
  }

  /** Has it read its file anew, with these changes. Needs `log_level: 2`, in the log that is standard error. */
  async reload(changes: Conf): Promise<void> {
    const said = (): number => this.program.stderr.split('configuration loaded anew').length
    const before = said()
    await this.signalReload(changes)
    await waitFor('the reload', () => said() > before)
  }

  /** As `reload`, whatever comes of it. */
  async signalReload(changes: Conf): Promise<void> {
    await writeFile(join(this.dir, 'broker.conf'), confText({ ...this.conf, ...changes }))
    this.program.child.kill('SIGHUP')
  }

  get socket(): string { return join(this.dir, 'libvirt-sock') }
  get roSocket(): string { return join(this.dir, 'libvirt-sock-ro') }

  /** Where the embedded test driver has its files. */
  get testDriverFiles(): string { return join(this.dir, 'test-driver') }

  /** A client URI that reaches the broker over its UNIX socket. */
  unixUri(driver: string, path: string): string {
    return `${driver}+unix://${path}?socket=${this.socket}`
  }

  /** A client URI that reaches the broker over its socket for read-only clients. */
  readonlyUri(driver: string, path: string): string {
    return `${driver}+unix://${path}?socket=${this.roSocket}`
  }

  /** A client URI that reaches the broker over TCP. */
  tcpUri(driver: string, path: string): string {
    return `${driver}+tcp://127.0.0.1:${this.tcpPort}${path}`
  }
}
