import { join } from 'node:path'
import { expect } from 'chai'
import type { Broker } from './broker.js'
import type { Cleanup } from './cleanup.js'
import { type Outcome, Program, run } from './processes.js'
import { waitFor } from './waiting.js'

export const CTL = new URL('../../../dist/main/virtbrokerctl.js', import.meta.url).pathname
const ENV = { ...process.env, TZ: 'UTC' }

/** virtbrokerctl, for one broker. */
export class Ctl {
  readonly socket: string

  constructor(
    readonly cleanup: Cleanup,
    broker: Pick<Broker, 'dir'>
  ) {
    this.socket = join(broker.dir, 'libvirt-admin-sock')
  }

  run(...args: string[]): Promise<Outcome> {
    return run([process.execPath, CTL, '--socket', this.socket, ...args], { env: ENV })
  }

  /** One that goes on. */
  start(...args: string[]): Program {
    const program = new Program([process.execPath, CTL, '--socket', this.socket, ...args], { env: ENV })
    this.cleanup.defer(() => program.stop('SIGKILL'))
    return program
  }

  /** What it prints; it must end well. */
  async ok(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(...args)
    expect(status, stderr).to.equal(0)
    return stdout
  }

  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.ok(...args, '--json')) as T
  }

  /** Waits until nobody is there: connections by which a broker is found to be there are gone. */
  async untilEmpty(): Promise<void> {
    await waitFor('nobody', async () => (await this.json<unknown[]>('clients')).length === 0)
  }
}
