import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { rpcError } from '#protocol/errors.js'
import { REMOTE } from '#protocol/procedures.js'
import { XdrWriter } from '#protocol/xdr.js'
import type { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import type { FakeDriver } from '../support/fake-driver.js'
import { freePort } from '../support/free-port.js'
import { Pki } from '../support/pki.js'
import { Random } from '../support/random.js'
import type { RawClient } from '../support/raw-client.js'
import { SaslFiles } from '../support/sasl.js'
import { expectComplete, login } from '../support/sasl-login.js'
import { SilentCrowd } from '../support/silent-crowd.js'
import { Stage } from '../support/stage.js'
import { rawTlsClient } from '../support/tls-client.js'
import { tempDir } from '../support/temp-dir.js'

export const TOKEN = 'a-token-that-only-the-tests-know-0123456789'
const PASSWORD = 'secret'

/** What clients call, how often beside the others, and for about how long their daemon is busy with it, in milliseconds. */
const CALLS = [
  { proc: REMOTE.domainGetInfo, often: 40, ms: 1 },
  { proc: REMOTE.connectGetAllDomainStats, often: 6, ms: 14 },
  { proc: REMOTE.domainGetXmlDesc, often: 20, ms: 3 },
  { proc: REMOTE.domainBlockStats, often: 16, ms: 4 },
  { proc: REMOTE.connectListAllDomains, often: 8, ms: 2 },
  { proc: REMOTE.domainMigratePerform3Params, often: 1, ms: 260 },
  { proc: REMOTE.nodeGetInfo, often: 12, ms: 1 }
]

/** A broker as on a host with much to do: clients of several kinds, some of whom call all the time, daemons that take theirs. */
export class BusyHost {
  readonly #random = new Random(7)
  #over = false

  private constructor(
    readonly cleanup: Cleanup,
    readonly stage: Stage,
    readonly port: number,
    readonly tlsPort: number,
    readonly pki: Pki
  ) {
    cleanup.defer(() => Promise.resolve(void (this.#over = true)))
  }

  /** `names`: who can log in with SASL. */
  static async start(cleanup: Cleanup, names: readonly string[], conf: Conf = {}): Promise<BusyHost> {
    const [port, tlsPort, pki] = [await freePort(), await freePort(), await Pki.make(cleanup)]
    const sasl = await SaslFiles.create(cleanup, 'plain')
    for (const name of names) await sasl.addUser(name, PASSWORD)
    const { certificate, key } = await pki.server({ expiration_days: 61 })
    const token = join(await tempDir(cleanup), 'token')
    await writeFile(token, `${TOKEN}\n`, { mode: 0o600 })
    const stage = await sasl.inUse(() => Stage.start(cleanup, {
      auth_unix_rw: 'sasl', listen_tls: 1, tls_port: String(tlsPort), ca_file: pki.ca.certificate, cert_file: certificate, key_file: key,
      max_clients: 6000, actor_threads: 2, slow_call_ms: 250, metrics_listen: `127.0.0.1:${port}`, metrics_token: token, ...conf
    }))
    const host = new BusyHost(cleanup, stage, port, tlsPort, pki)
    host.#work(stage.driver)
    for (const socket of ['virtnetworkd-sock', 'virtstoraged-sock']) host.#work(await stage.addDriver(socket))
    return host
  }

  /** Clients that say nothing. */
  crowd(count: number): Promise<void> {
    return new SilentCrowd(this.cleanup).joinAs(0, count, this.stage.broker.roSocket)
  }

  /** One that has logged in with SASL. */
  async user(name: string, uri = 'qemu:///system'): Promise<RawClient> {
    const client = await this.stage.connect(this.stage.broker.socket)
    expectComplete(await login(client, name, PASSWORD))
    await client.open(uri)
    return client
  }

  /** One that has come with a certificate. */
  async host(cn: string, uri = 'qemu:///system'): Promise<RawClient> {
    const client = await rawTlsClient(this.cleanup, this.tlsPort, await this.pki.client({ cn, organization: 'Example' }))
    await client.open(uri)
    return client
  }

  /** It calls until all is over, and rests about so long after each answer. */
  async call(client: RawClient, restMs: number): Promise<void> {
    while (!this.#over) {
      const guest = new XdrWriter().string(`guest-${this.#random.integer(1, 40)}`).finish()
      await client.call(this.#anyCall(), guest).catch(() => (this.#over = true))
      await sleep(restMs * (0.5 + this.#random.fraction()))
    }
  }

  /** Daemons take some calls longer than others, and now and then refuse one. */
  #work(daemon: FakeDriver): void {
    const times = new Map<number, number>(CALLS.map(({ proc, ms }) => [proc, ms]))
    daemon.otherwise = (call, connection) => {
      const usual = times.get(call.proc)
      if (usual === undefined) return call.payload
      const ms = usual * (this.#random.chance(0.005) ? 12 : 0.6 + this.#random.fraction())
      const answer = this.#random.chance(0.01) ? rpcError('no such guest') : undefined
      setTimeout(() => (answer === undefined ? connection.reply(call, call.payload) : connection.fail(call, answer)), ms)
      return undefined
    }
  }

  #anyCall(): number {
    let at = this.#random.integer(0, CALLS.reduce((sum, { often }) => sum + often, 0) - 1)
    return CALLS.find(({ often }) => (at -= often) < 0)!.proc
  }
}
