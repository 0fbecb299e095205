import { expect } from 'chai'
import { Cleanup } from '../support/cleanup.js'
import { guestJobs } from '../support/clients.js'
import { type Outcome, run } from '../support/processes.js'
import { PrivateHost } from '../support/private-host.js'
import { Quickstart } from '../support/quickstart.js'
import { USER } from '../support/as-user.js'

const PORT = 16509
const URI = `test+tcp://127.0.0.1:${PORT}/default`
const EVIL = '/etc/sudoers.d/evil'

// `npm start` as root, on a host that has a local user and sudo.
describe('the embedded test driver of root', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let host: PrivateHost
  let quickstart: Quickstart
  before(async () => {
    host = await PrivateHost.start(cleanup)
    await host.exec(['mount', '-t', 'tmpfs', '-o', 'mode=0750', 'tmpfs', '/etc/sudoers.d'])
    quickstart = await Quickstart.start(cleanup, PORT, { inside: argv => host.inside(argv) })
  })
  after(() => cleanup.run())

  const shell = (script: string): Promise<Outcome> => host.exec(['sh', '-c', script])
  /** A command line that an ordinary user runs there. */
  const asUser = (...argv: string[]): Promise<Outcome> =>
    run(host.inside(['setpriv', `--reuid=${USER.daemon}`, `--regid=${USER.daemon}`, '--clear-groups', '--', ...argv]), {
      env: { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C.UTF-8' }
    })
  const virsh = (command: string): Promise<Outcome> => asUser('virsh', '-c', URI, command)
  const jobs = (...commands: string[]): Promise<Outcome> => asUser(...guestJobs(URI, ...commands))
  const sudo = (): Promise<Outcome> => asUser('sudo', '-n', 'id', '-u')
  /** Puts a line that sudo would honour into the image of a running guest, and saves it. */
  const attack = (path: string): Promise<Outcome> =>
    jobs("desc test '\ndaemon ALL=(ALL:ALL) NOPASSWD: ALL\n'", `save test ${path}`)

  it('makes no local user root, by sudo', async () => {
    await shell("echo 'daemon ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/good && chmod 0440 /etc/sudoers.d/good")
    expect((await sudo()).stdout, 'sudo honours what stands there').to.equal('0\n')
    await shell('rm /etc/sudoers.d/good')
    const saved = await attack(EVIL)
    const { status, stdout } = await sudo()
    expect([status, stdout]).to.deep.equal([1, ''])
    expect((await shell('ls -A /etc/sudoers.d')).stdout).to.equal('')
    expect(saved.status).to.equal(1)
    expect(saved.stderr).to.include(`error: saving domain 'test' to '${EVIL}': open failed: Permission denied`)
  })

  it('does not by links in its own directory either', async () => {
    await shell(`ln -s ${EVIL} ${quickstart.files}/link && ln -s /etc/sudoers.d ${quickstart.files}/folder`)
    await shell(`touch /etc/sudoers.d/old && ln -s /etc/sudoers.d/old ${quickstart.files}/old`)
    for (const name of ['link', 'folder/evil', 'old']) expect((await attack(`${quickstart.files}/${name}`)).status).to.equal(1)
    expect((await shell('ls -A /etc/sudoers.d; cat /etc/sudoers.d/*')).stdout).to.equal('old\n')
    expect((await sudo()).status).to.equal(1)
  })

  it('does not tell which files there are', async () => {
    const said = async (path: string): Promise<string[]> => {
      const answers = [
        await virsh(`restore ${path}`),
        await virsh(`save-image-dumpxml ${path}`),
        await jobs(`dump test ${path}`),
        await asUser('virsh', '-c', URI.replace('/default', path), 'list')
      ]
      return answers.map(({ stderr }) => stderr.replaceAll(path, 'PATH'))
    }
    await shell('mkdir -m 0700 /run/root-only; umask 077; echo secret > /run/root-only/file')
    const paths = ['/run/root-only/absent', '/run/root-only/file', '/run/root-only', '/run/root-only/file/x', '/run/absent/x']
    const [first, ...others] = await Promise.all(paths.map(said))
    for (const other of others) expect(other).to.deep.equal(first)
    for (const text of first!) expect(text).to.match(/Permission denied/)
  })

  it('serves that user all the same', async () => {
    const path = `${quickstart.files}/saved`
    const { stdout, stderr } = await jobs(`save test ${path}`, 'domstate test', `restore ${path}`, 'domstate test')
    expect([stdout, stderr]).to.deep.equal(['shut off\nrunning\n', ''])
  })
})
