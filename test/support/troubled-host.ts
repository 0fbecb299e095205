import { writeFile } from 'node:fs/promises'
import type { Cleanup } from './cleanup.js'
import { clientEnv } from './clients.js'
import { type Conf, confText } from './conf-file.js'
import { Page } from './page.js'
import { PageHost } from './page-host.js'
import { type Program, run } from './processes.js'
import { brokerCommand } from './broker-command.js'

/** What a command that fails has printed, for each trouble that a page tells of, by its name. */
export type Troubles = Record<string, (host: TroubledHost) => Promise<string>>

/** Of root's broker, in the usual places, with the embedded test driver. */
const USUAL: Conf = {
  embedded_test_driver: 1, listen_tcp: 1, auth_tcp: 'none', auth_unix_rw: 'none', auth_unix_ro: 'none',
  log_level: 2, log_outputs: '2:stderr', shutdown_timeout: 0
}

/** A host of its own on which things go wrong: with one broker at a time, in virtproxyd's place, and real clients. */
export class TroubledHost {
  #broker: { program: Program; text: string } | undefined
  #pki = false

  private constructor(readonly cleanup: Cleanup, readonly page: PageHost) {}

  static async start(cleanup: Cleanup): Promise<TroubledHost> {
    const host = new TroubledHost(cleanup, await PageHost.start(cleanup))
    cleanup.defer(() => host.stop())
    return host
  }

  /** The path outside of a file in /run/libvirt. */
  runPath(name: string): string {
    return this.page.host.runPath(name)
  }

  /** A broker with these settings. One that has them already goes on. */
  async serve(conf: Conf = {}): Promise<void> {
    const text = confText({ ...USUAL, ...conf })
    if (this.#broker?.text === text && !this.#broker.program.ended) return
    await this.stop()
    await this.write('libvirt/virtbrokerd.conf', text)
    const program = this.page.host.spawn(brokerCommand(), { ...clientEnv, HOME: this.page.home })
    this.#broker = { program, text }
    await program.hasSaid('ready, with')
  }

  /** As root, or as another user: all that the commands print. They must fail. */
  async fails(commands: string, { uid = 0, input = '' } = {}): Promise<string> {
    const { status, text } = await this.run(commands, { uid, input })
    if (status === 0) throw new Error(`did not fail: ${commands}\n${text}`)
    return text
  }

  async succeeds(commands: string): Promise<string> {
    const { status, text } = await this.run(commands)
    if (status !== 0) throw new Error(`failed: ${commands}\n${text}`)
    return text
  }

  async run(commands: string, { uid = 0, input = '' } = {}): Promise<{ status: number | null; text: string }> {
    const user = uid === 0 ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
    const argv = this.page.host.inside([...user, 'bash', '-c', `exec 2>&1\n${commands}`])
    const { status, stdout } = await run(argv, { env: this.env, input })
    // virsh's own log, which some of its releases write.
    return { status, text: stdout.replace(/^\d{4}-\d\d-\d\d .*: (info|warning) : .*\n/gm, '').trim() }
  }

  get env(): NodeJS.ProcessEnv {
    return { ...clientEnv, HOME: this.page.home }
  }

  /** A file in /etc. */
  write(name: string, text: string): Promise<void> {
    return writeFile(this.page.path(name), text)
  }

  /** The certificates of docs/tls.md, of server and client, in their places; `~/pki` has the authority. */
  async pki(): Promise<void> {
    if (this.#pki) return
    this.#pki = true
    const steps = ['certtool-authority', 'certtool-server', 'certtool-client', 'install-server', 'install-client']
    await this.page.follow(await Page.read('tls.md'), steps)
  }

  /** What the broker has written to its log. */
  get log(): string {
    return this.#broker?.program.stderr ?? ''
  }

  /** Sends the broker a signal. */
  async signal(name: string): Promise<void> {
    await this.succeeds(`kill -${name} "$(cat /run/virtbrokerd.pid)"`)
  }

  async stop(): Promise<void> {
    const broker = this.#broker
    this.#broker = undefined
    if (broker === undefined || broker.program.ended) return
    await this.signal('TERM')
    // It may have been stopped, and nsenter(1), which has started it, with it. If not, it may be gone by now.
    await this.run('kill -CONT "$(cat /run/virtbrokerd.pid)"')
    broker.program.child.kill('SIGCONT')
    await broker.program.exited
  }
}
