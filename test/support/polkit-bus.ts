import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { Program } from './processes.js'
import { canConnect } from './sockets.js'
import { tempDir } from './temp-dir.js'
import { waitFor } from './waiting.js'

const busConf = (socket: string): string => `<!DOCTYPE busconfig
 PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=${socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/><allow receive_type="method_return"/>
    <allow receive_type="error"/><allow receive_type="signal"/>
  </policy>
</busconfig>
`

/** The machine's own rules are hidden from this polkitd, and ours from the machine, by a mount of its own. */
const polkitdScript = 'mount --bind "$1" /etc/polkit-1/rules.d && exec /usr/lib/polkit-1/polkitd --no-debug'

/** A real polkitd on a bus of its own, with the given rules (JavaScript) and libvirt's own actions. */
export class PolkitBus {
  #bus: Program | undefined
  #polkitd: Program | undefined

  private constructor(readonly dir: string) {}

  static async start(cleanup: Cleanup, rules: string): Promise<PolkitBus> {
    const dir = await tempDir(cleanup)
    // polkitd gives up being root before it looks at anything.
    await chmod(dir, 0o755)
    await mkdir(join(dir, 'rules'), { mode: 0o755 })
    await writeFile(join(dir, 'rules/10-test.rules'), rules)
    await writeFile(join(dir, 'bus.conf'), busConf(join(dir, 'bus')))
    const bus = new PolkitBus(dir)
    cleanup.defer(() => bus.stop())
    await bus.startBus()
    await bus.startPolkitd()
    return bus
  }

  get address(): string {
    return `unix:path=${join(this.dir, 'bus')}`
  }

  get polkitd(): Program {
    if (this.#polkitd === undefined) throw new Error('polkitd was not started')
    return this.#polkitd
  }

  async startBus(): Promise<void> {
    const bus = new Program(['dbus-daemon', `--config-file=${join(this.dir, 'bus.conf')}`, '--nofork', '--nopidfile'])
    this.#bus = bus
    await waitFor('the bus', () => {
      if (bus.ended) throw new Error(`the bus ended: ${bus.describe()}`)
      return canConnect(join(this.dir, 'bus'))
    })
  }

  async startPolkitd(): Promise<void> {
    const rules = join(this.dir, 'rules')
    const argv = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', polkitdScript, 'sh', rules]
    const polkitd = new Program(argv, { env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: this.address } })
    this.#polkitd = polkitd
    await waitFor('polkitd', async () => {
      if (polkitd.ended) throw new Error(`polkitd ended: ${polkitd.describe()}`)
      const owned = new Program(['dbus-send', `--bus=${this.address}`, '--print-reply', '--dest=org.freedesktop.DBus',
        '/', 'org.freedesktop.DBus.NameHasOwner', 'string:org.freedesktop.PolicyKit1'])
      await owned.exited
      return owned.stdout.includes('boolean true')
    })
  }

  async stopPolkitd(): Promise<void> {
    await this.#polkitd?.stop('SIGKILL')
  }

  /** polkitd ends with its bus. */
  async stop(): Promise<void> {
    await this.#polkitd?.stop('SIGKILL')
    await this.#bus?.stop('SIGKILL')
  }
}
