import type { NetConnectOpts } from 'node:net'
import { join } from 'node:path'
import { expect } from 'chai'
import { STATUS } from '#protocol/header.js'
import { Broker, type BrokerSurroundings } from './broker.js'
import type { Cleanup } from './cleanup.js'
import type { Conf } from './conf-file.js'
import { type DriverConnection, FakeDriver } from './fake-driver.js'
import { RawClient } from './raw-client.js'
import { tempDir } from './temp-dir.js'
import { waitFor } from './waiting.js'

/** A broker with a fake daemon behind `virtqemud-sock`, and room for more daemons. */
export class Stage {
  private constructor(
    readonly cleanup: Cleanup,
    readonly broker: Broker,
    readonly driverDir: string,
    readonly driver: FakeDriver
  ) {}

  static async start(cleanup: Cleanup, conf: Conf = {}, under: BrokerSurroundings = {}): Promise<Stage> {
    const driverDir = await tempDir(cleanup)
    const driver = await FakeDriver.listen(cleanup, join(driverDir, 'virtqemud-sock'))
    const broker = await Broker.start(cleanup, { driver_socket_dir: driverDir, ...conf }, under)
    return new Stage(cleanup, broker, driverDir, driver)
  }

  /** Waits until the connections are gone by which `Broker.start` saw that it is there. Needs `log_level: 1`. */
  async probesForgotten(): Promise<void> {
    const ends = (): number => this.broker.program.stderr.match(/closed: End of file/g)?.length ?? 0
    await waitFor('the end of the first connections', () => ends() >= 3)
  }

  /** Does what costs so many clients their daemon, and waits until the broker knows. Needs `log_level: 2`. */
  async untilLost(deed: () => unknown, clients = 1): Promise<void> {
    const lost = (): number => this.broker.program.stderr.match(/driver daemon lost/g)?.length ?? 0
    const before = lost()
    await deed()
    await waitFor('the loss to be noticed', () => lost() >= before + clients)
  }

  /** One more daemon, by the name of its socket. */
  addDriver(socket: string): Promise<FakeDriver> {
    return FakeDriver.listen(this.cleanup, join(this.driverDir, socket))
  }

  /** A connected client, over TCP if `where` says nothing else. */
  connect(where: string | number | NetConnectOpts = this.broker.tcpPort): Promise<RawClient> {
    return RawClient.connect(this.cleanup, where)
  }

  /** A client with `qemu:///system` open, and the connection at the daemon that its calls take. */
  async open(where?: string | number): Promise<{ client: RawClient; daemon: DriverConnection }> {
    const client = await this.connect(where)
    const known = this.driver.connections.length
    const reply = await client.open('qemu:///system')
    expect(reply.status, 'status of CONNECT_OPEN').to.equal(STATUS.ok)
    return { client, daemon: this.driver.connections[known] ?? await this.driver.connectionOf(client) }
  }
}
