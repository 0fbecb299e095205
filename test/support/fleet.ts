import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { type Conf, confText } from './conf-file.js'
import { Ctl } from './ctl.js'
import { NetworkHost } from './network-namespaces.js'
import { mustRun, printed, type Program } from './processes.js'
import { tempDir } from './temp-dir.js'
import { waitFor } from './waiting.js'

const BROKER = new URL('../../../dist/main/virtbrokerd.js', import.meta.url).pathname
const CLIENTS = new URL('polling-clients.js', import.meta.url).pathname
const PACKAGING = new URL('../../../packaging/haproxy/', import.meta.url).pathname

/** What clients have come to: connections that ended, calls that failed, connections that were refused, all since the start. */
export interface Tally {
  ends: number
  failed: number
  refused: number
  /** How long the last command took. */
  ms: number
}

/** A broker on a host of its own, with the embedded test driver. */
export class FleetBroker {
  readonly ctl: Ctl
  #program: Program

  constructor(
    readonly cleanup: Cleanup,
    readonly host: NetworkHost,
    readonly address: string,
    readonly dir: string
  ) {
    this.ctl = new Ctl(cleanup, { dir })
    this.#program = this.#start()
  }

  get program(): Program {
    return this.#program
  }

  /** After its end. */
  restart(): Promise<void> {
    this.#program = this.#start()
    return this.serves()
  }

  async serves(): Promise<void> {
    await waitFor(`the broker on ${this.address}`, async () => (await this.ctl.run('status')).status === 0)
  }

  /** Where its clients are, as it believes. */
  async clients(): Promise<string[]> {
    const clients = await this.ctl.json<{ peer: string }[]>('clients')
    return clients.map(({ peer }) => peer.replace(/:\d+$/, '')).filter(address => address.startsWith('10.9.'))
  }

  /** Where those were who have opened a name, as its audit log has it. */
  async audited(): Promise<string[]> {
    const lines = (await readFile(join(this.dir, 'audit.json'), 'utf8')).trim().split('\n')
    const records = lines.map(line => JSON.parse(line) as { api?: { operation: string }; src_endpoint?: { ip?: string } })
    return records.flatMap(({ api, src_endpoint: where }) => (api?.operation === 'CONNECT_OPEN' ? [where!.ip!] : []))
  }

  #start(): Program {
    return this.host.start(this.cleanup, [process.execPath, BROKER, '-f', join(this.dir, 'broker.conf'), '-p', join(this.dir, 'pid')])
  }
}

/** Hosts in networks of their own: a balancer in the middle, brokers on 10.0.N.2, and clients on 10.9.0.0/16. */
export class Fleet {
  readonly brokers: FleetBroker[] = []

  private constructor(
    readonly cleanup: Cleanup,
    readonly dir: string,
    readonly balancer: NetworkHost,
    readonly client: NetworkHost
  ) {}

  static async start(cleanup: Cleanup): Promise<Fleet> {
    const dir = await tempDir(cleanup)
    const [balancer, client] = [await NetworkHost.start(cleanup), await NetworkHost.start(cleanup)]
    await balancer.joinTo(client, '10.0.100')
    // One host with all addresses of a network.
    await client.ip('route add local 10.9.0.0/16 dev lo')
    await balancer.ip('route add 10.9.0.0/16 via 10.0.100.2')
    return new Fleet(cleanup, dir, balancer, client)
  }

  async addBroker(conf: Conf = {}): Promise<FleetBroker> {
    const number = this.brokers.length + 1
    const host = await NetworkHost.start(this.cleanup)
    await this.balancer.joinTo(host, `10.0.${number}`)
    const address = `10.0.${number}.2`
    const dir = join(this.dir, `broker-${number}`)
    await mkdir(dir)
    await writeFile(join(dir, 'broker.conf'), confText({
      unix_sock_dir: dir, auth_unix_rw: 'none', auth_unix_ro: 'none', listen_tcp: 1, listen_addr: address, auth_tcp: 'none',
      proxy_protocol: 'require', proxy_trusted: [`10.0.${number}.1`], metrics_listen: '127.0.0.1:16519',
      audit_output: `file:${join(dir, 'audit.json')}`, embedded_test_driver: 1, max_anonymous_clients: 0, log_level: 2, ...conf
    }))
    // As docs/fleet.md has it, without systemd itself.
    host.start(this.cleanup, ['systemd-socket-activate', '-l', `${address}:16520`, '/lib/systemd/systemd-socket-proxyd', '127.0.0.1:16519'])
    const broker = new FleetBroker(this.cleanup, host, address, dir)
    this.brokers.push(broker)
    await broker.serves()
    return broker
  }

  /** One of the files in packaging/haproxy, as it stands there. */
  async balance(file: string, env: Record<string, string> = {}, haproxy: readonly string[] = ['haproxy']): Promise<Program> {
    const brokers = Object.fromEntries(this.brokers.map(({ address }, i) => [`BROKER_${i + 1}`, address]))
    const program = this.balancer.start(this.cleanup, [...haproxy, '-db', '-f', join(PACKAGING, file)], { ...brokers, ...env })
    const port = file.includes('tls') ? 16514 : 16509
    await waitFor('HAProxy', async () => (await mustRun(this.balancer.inside(['ss', '-Htln']))).stdout.includes(`:${port} `))
    return program
  }

  clients(count: number): FleetClients {
    const argv = [process.execPath, '--enable-source-maps', CLIENTS, '10.0.100.1', '16509', String(count)]
    return new FleetClients(this.client.start(this.cleanup, argv))
  }
}

/** See polling-clients.ts. */
export class FleetClients {
  #lines = 0

  constructor(readonly program: Program) {}

  /** Each makes a call; resolves when each has an answer, whatever it takes. */
  callAll(): Promise<Tally> {
    return this.#ask('call')
  }

  tally(): Promise<Tally> {
    return this.#ask('tally')
  }

  async #ask(command: string): Promise<Tally> {
    this.program.child.stdin.write(`${command}\n`)
    const line = this.#lines++
    await printed(this.program, new RegExp(`^(.*\\n){${line + 1}}`), 60_000)
    return JSON.parse(this.program.stdout.split('\n')[line]!) as Tally
  }
}
