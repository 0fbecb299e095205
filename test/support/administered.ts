import { expect } from 'chai'
import type { Cleanup } from './cleanup.js'
import { clientEnv, interactiveVirsh } from './clients.js'
import { type Outcome, type Program, run } from './processes.js'
import { waitFor } from './waiting.js'

/** What virt-admin prints, with the names of the daemon, of its server and of its files left out. */
export type Transcript = Pick<Outcome, 'status' | 'stdout' | 'stderr'>

/** A daemon that virt-admin is pointed at. */
export class Administered {
  /** `server`: its name of the server that is not `admin`. `clientUri`: for virsh. `tool`: the command virt-admin. */
  constructor(
    readonly server: string,
    readonly socket: string,
    readonly clientUri: string,
    readonly tool: readonly string[] = ['virt-admin']
  ) {}

  get uri(): string {
    return `libvirtd:///system?socket=${this.socket}`
  }

  virtAdmin(...args: string[]): Promise<Outcome> {
    return run([...this.tool, '-c', this.uri, ...args], { env: clientEnv })
  }

  /** What a command prints, line by line. */
  async lines(...args: string[]): Promise<string[]> {
    return (await this.virtAdmin(...args)).stdout.trim().split('\n')
  }

  async servers(): Promise<string[]> {
    const { stdout } = await this.virtAdmin('server-list')
    return [...stdout.matchAll(/^ \d+ +(\S+)$/gm)].map(([, name]) => name!).sort()
  }

  /** Ids of clients, in the order of the list. */
  async ids(): Promise<string[]> {
    const { stdout } = await this.virtAdmin('client-list', this.server)
    return [...stdout.matchAll(/^ (\d+) +(?:unix|tcp|tls) /gm)].map(([, id]) => id!)
  }

  /** A virsh that stays, and is the only client. */
  async onlyClient(cleanup: Cleanup): Promise<{ id: string; client: Program }> {
    const client = await interactiveVirsh(this.clientUri)
    cleanup.defer(() => client.stop())
    await waitFor('it to be alone', async () => (await this.ids()).length === 1)
    return { id: (await this.ids())[0]!, client }
  }

  /** `@` in the command is the name of the server, `#` the number of its client. */
  async transcript(command: readonly string[], id = ''): Promise<Transcript> {
    const args = command.map(part => (part === '@' ? this.server : part === '#' ? id : part))
    const { status, stdout, stderr } = await this.virtAdmin(...args)
    const plain = (text: string): string =>
      text
        .replaceAll(this.uri, 'URI')
        .replaceAll(this.server, 'SERVER')
        // Rows of clients: number and time.
        .replace(/^ \d+( +)(unix|tcp|tls) .*$/gm, ' N $2 TIME')
        .replace(/Client '\d+'/g, "Client 'N'")
        .replace(/-{3,}/g, '---')
        .replace(/ +$/gm, '')
    return { status, stdout: plain(stdout), stderr: plain(stderr) }
  }
}

/** virt-admin prints the same for each command at both daemons, which have one client each meanwhile. */
export async function expectSame(
  cleanup: Cleanup, libvirtd: Administered, virtproxyd: Administered, commands: readonly (readonly string[])[]
): Promise<void> {
  const [its, ours] = [await libvirtd.onlyClient(cleanup), await virtproxyd.onlyClient(cleanup)]
  for (const command of commands) {
    const expected = await libvirtd.transcript(command, its.id)
    expect(await virtproxyd.transcript(command, ours.id), command.join(' ')).to.deep.equal(expected)
  }
  for (const { client } of [its, ours]) client.child.stdin.end('list\n')
  for (const { client } of [its, ours]) await client.exited
}
