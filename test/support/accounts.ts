import { once } from 'node:events'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { tempDir } from './temp-dir.js'

/** Hides /run, where name services have their sockets, and puts the test's files in the place of the machine's. */
const script = `
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/userdb
mount --bind "$1/userdb" /run/systemd/userdb
for file in nsswitch.conf passwd group; do mount --bind "$1/$file" "/etc/$file"; done
shift
exec "$@"
`

const SERVICE = 'io.test.Accounts'

interface Question {
  method: string
  parameters: { uid?: number; gid?: number }
}

/**
 * A host's users and groups for a program under test: files, and behind them a name service that a test answers for, in
 * the protocol of systemd's (nss-systemd asks it).
 */
export class Accounts {
  /** Ids that were asked for, in order. */
  readonly asked: number[] = []
  /** Called for each question to the service; what it gives is the name, if any. It may take any time. */
  nameOf: (id: number) => Promise<string | undefined> = () => Promise.resolve(undefined)

  private constructor(readonly dir: string) {}

  /** The lines are added to the machine's own files. */
  static async start(cleanup: Cleanup, passwd: readonly string[] = [], group: readonly string[] = []): Promise<Accounts> {
    const accounts = new Accounts(await tempDir(cleanup))
    const { dir } = accounts
    await chmod(dir, 0o755)
    await mkdir(join(dir, 'userdb'))
    await writeFile(join(dir, 'nsswitch.conf'), 'passwd: files systemd\ngroup: files systemd\n')
    for (const [file, lines] of [['passwd', passwd], ['group', group]] as const) {
      await writeFile(join(dir, file), `${await readFile(`/etc/${file}`, 'utf8')}${lines.join('\n')}\n`)
    }
    const server = createServer(socket => accounts.#serve(socket))
    server.listen(join(dir, 'userdb', SERVICE))
    const sockets = new Set<Socket>()
    server.on('connection', socket => sockets.add(socket))
    cleanup.defer(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
      return Promise.resolve()
    })
    await once(server, 'listening')
    return accounts
  }

  /** The command that starts a program on this host. */
  get within(): string[] {
    return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', this.dir]
  }

  #serve(socket: Socket): void {
    let received = ''
    socket.on('error', () => undefined)
    socket.setEncoding('utf8').on('data', (text: string) => {
      received += text
      for (let end = received.indexOf('\0'); end >= 0; end = received.indexOf('\0')) {
        const question = JSON.parse(received.slice(0, end)) as Question
        received = received.slice(end + 1)
        void this.#answer(question).then(answer => socket.write(`${JSON.stringify(answer)}\0`))
      }
    })
  }

  async #answer({ method, parameters: { uid, gid } }: Question): Promise<object> {
    const id = uid ?? gid
    const none = { error: 'io.systemd.UserDatabase.NoRecordFound', parameters: {} }
    if (id === undefined) return none
    this.asked.push(id)
    const name = await this.nameOf(id)
    if (name === undefined) return none
    const record = method.endsWith('GetUserRecord')
      ? { userName: name, uid, gid: uid, service: SERVICE }
      : { groupName: name, gid, service: SERVICE }
    return { parameters: { record, incomplete: false } }
  }
}
