import { chownSync, existsSync, linkSync, lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect } from 'chai'
import { USER } from '../support/as-user.js'
import { brokerCommand, brokerFiles, type BrokerFiles } from '../support/broker-command.js'
import { Cleanup } from '../support/cleanup.js'
import { confText } from '../support/conf-file.js'
import { mustRun, type Outcome, Program, run } from '../support/processes.js'
import { canConnect } from '../support/sockets.js'
import { tempDir } from '../support/temp-dir.js'
import { waitFor } from '../support/waiting.js'

/** Long enough for any start; one that spins would last for ever. */
const PATIENCE_MS = 15_000

describe('the places of a broker', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  const start = (files: BrokerFiles, ...args: string[]): Promise<Outcome> =>
    run(brokerCommand('-f', files.file, '-p', files.pidFile, ...args), { timeout: PATIENCE_MS })

  /** A start and `--check-config` must both fail, in the same way. */
  async function bothFail(files: BrokerFiles, status: number, why: string, prefix: string[] = []): Promise<void> {
    for (const more of [[], ['--check-config']]) {
      const command = [...prefix, ...brokerCommand('-f', files.file, '-p', files.pidFile, ...more)]
      const outcome = await run(command, { timeout: PATIENCE_MS })
      expect(outcome.stderr, more.join()).to.contain(why)
      expect(outcome.status, more.join()).to.equal(status)
    }
  }

  /** Runs what follows after these commands, with mounts of its own. */
  const withMounts = (commands: string): string[] =>
    ['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', `${commands}; exec "$@"`, 'sh']

  describe('directories', () => {
    it('are made, and those above them', async () => {
      const dir = join(await tempDir(cleanup), 'a/b/c')
      const files = await brokerFiles(cleanup, { unix_sock_dir: dir })
      const program = new Program(brokerCommand('-f', files.file, '-p', join(dir, 'run/pid')))
      cleanup.defer(() => program.stop())
      await waitFor('the socket', () => canConnect(join(dir, 'libvirt-sock-ro')))
      expect(readFileSync(join(dir, 'run/pid'), 'latin1')).to.equal(String(program.pid))
    })

    for (const dir of ['/proc/virtbroker', '/proc/self/fd/a/b', '/sys/virtbroker/run']) {
      it(`that cannot be made, as ${dir}, end the start`, async () => {
        const files = await brokerFiles(cleanup, { unix_sock_dir: dir })
        const { status, stderr } = await start(files)
        expect(stderr).to.contain(`unable to create rundir ${dir}: `)
        expect(status).to.equal(2)
        expect((await start(files, '--check-config')).status).to.equal(2)
      })
    }

    it('below one that has been removed end the start', async () => {
      const dir = await tempDir(cleanup)
      const mounts = withMounts(`mkdir ${dir}/gone ${dir}/here; mount --bind ${dir}/gone ${dir}/here; rmdir ${dir}/gone`)
      for (const where of [`${dir}/here/run`, `${dir}/here/run/deep/er`]) {
        const files = await brokerFiles(cleanup, { unix_sock_dir: where })
        const outcome = await run([...mounts, ...brokerCommand('-f', files.file, '-p', files.pidFile)], { timeout: PATIENCE_MS })
        expect(outcome.stderr).to.contain(`unable to create rundir ${where}: No such file or directory`)
        expect(outcome.status).to.equal(2)
        await mustRun(['rmdir', `${dir}/here`])
      }
    })

    it('for the pid file are made by the same rules', async () => {
      const files = await brokerFiles(cleanup, {})
      await bothFail({ ...files, pidFile: '/proc/virtbroker/pid' }, 2, 'unable to create rundir /proc/virtbroker: No such file')
      expect(existsSync(join(files.dir, 'libvirt-sock'))).to.equal(false)
    })

    it('of the log are, too', async () => {
      const dir = await tempDir(cleanup)
      await chmod(dir, 0o755)
      const file = join(dir, 'c')
      await writeFile(file, confText({ unix_sock_dir: dir }))
      const env = { ...process.env, HOME: '/proc/virtbroker', XDG_RUNTIME_DIR: dir }
      const asNobody = ['setpriv', `--reuid=${USER.nobody}`, '--clear-groups', '--']
      const outcome = await run([...asNobody, ...brokerCommand('-d', '-f', file)], { env, timeout: PATIENCE_MS })
      expect(outcome.stderr).to.contain('unable to create /proc/virtbroker/.cache/libvirt: No such file or directory')
      expect(outcome.status).to.equal(1)
    })

    it('on a file system that is read-only end the start with the reason', async () => {
      const dir = await tempDir(cleanup)
      const files = await brokerFiles(cleanup, { unix_sock_dir: `${dir}/run/libvirt` })
      const mounts = withMounts(`mkdir -p ${dir}/run; mount -t tmpfs -o ro none ${dir}/run`)
      await bothFail(files, 2, `unable to create rundir ${dir}/run/libvirt: Read-only file system`, mounts)
      const pidFile = `${dir}/run/pid`
      const other = { ...await brokerFiles(cleanup, {}), pidFile }
      await bothFail(other, 1, `Failed to open pid file '${pidFile}': Read-only file system`, mounts)
      const made = `mkdir -p ${dir}/run; mount -t tmpfs none ${dir}/run; mkdir ${dir}/run/libvirt`
      const there = withMounts(`${made}; mount -o remount,ro ${dir}/run`)
      await bothFail(files, 6, `Failed to bind socket to '${dir}/run/libvirt/libvirt-sock': Read-only file system`, there)
    })

    it('that are files end the start with the reason', async () => {
      const dir = await tempDir(cleanup)
      writeFileSync(join(dir, 'file'), '')
      symlinkSync(join(dir, 'nowhere'), join(dir, 'link'))
      const below = await brokerFiles(cleanup, { unix_sock_dir: join(dir, 'file/run') })
      await bothFail(below, 2, `unable to create rundir ${dir}/file/run: Not a directory`)
      await bothFail(await brokerFiles(cleanup, { unix_sock_dir: join(dir, 'file') }), 2, `${dir}/file: Not a directory`)
      const link = await brokerFiles(cleanup, { unix_sock_dir: join(dir, 'link') })
      await bothFail(link, 2, `${dir}/link: No such file or directory`)
    })
  })

  it('may not be too long for a socket', async () => {
    const files = await brokerFiles(cleanup, {})
    const dir = join(files.dir, 'x'.repeat(100))
    await writeFile(files.file, confText({ unix_sock_dir: dir }))
    await bothFail(files, 6, `Path ${dir}/libvirt-sock too long for unix socket`)
  })

  describe('the pid file', () => {
    const refused: [string, (path: string) => unknown, string][] = [
      ['a link', path => { writeFileSync(`${path}.target`, 'keep'); symlinkSync(`${path}.target`, path) }, 'it is a symbolic link'],
      ['a link that leads nowhere', path => symlinkSync(`${path}.target`, path), 'it is a symbolic link'],
      [
        'another name of a file',
        path => { writeFileSync(`${path}.target`, 'keep'); linkSync(`${path}.target`, path) },
        'it has other names too'
      ],
      [
        "another user's",
        path => { writeFileSync(path, ''); chownSync(path, USER.nobody, USER.nobody) },
        `it belongs to user ${USER.nobody}`
      ],
      ['a directory', path => mkdir(path), 'it is a directory'],
      ['a FIFO', path => mustRun(['mkfifo', path]), 'it is a FIFO'],
      ['a device', path => mustRun(['mknod', path, 'c', '1', '3']), 'it is a device']
    ]
    for (const [what, make, why] of refused) {
      it(`is not written where it is ${what}`, async () => {
        const files = await brokerFiles(cleanup, {})
        await make(files.pidFile)
        const { ino } = lstatSync(files.pidFile)
        await bothFail(files, 1, `Failed to open pid file '${files.pidFile}': ${why}`)
        expect(lstatSync(files.pidFile).ino).to.equal(ino)
        const target = `${files.pidFile}.target`
        if (what === 'a link that leads nowhere') expect(existsSync(target)).to.equal(false)
        else if (existsSync(target)) expect(readFileSync(target, 'latin1')).to.equal('keep')
      })
    }

    it('is spoken of where others could put another in its place', async () => {
      const files = await brokerFiles(cleanup, {})
      const open = await tempDir(cleanup)
      await chmod(open, 0o777)
      const said = `others can write to '${open}', where the pid file is`
      expect((await start({ ...files, pidFile: join(open, 'pid') }, '--check-config')).stdout).to.contain(said)
      await chmod(open, 0o1777)
      expect((await start({ ...files, pidFile: join(open, 'pid') }, '--check-config')).stdout).not.to.contain(said)
    })

    it('that cannot be written ends the start, and does not stay', async () => {
      const dir = await tempDir(cleanup)
      const files = await brokerFiles(cleanup, {})
      const mounts = withMounts(`mkdir ${dir}/run; mount -t tmpfs -o size=4096 none ${dir}/run; head -c 4096 /dev/zero >${dir}/run/full`)
      const command = brokerCommand('-f', files.file, '-p', `${dir}/run/pid`)
      const { status, stdout, stderr } = await run([...mounts, 'sh', '-c', '"$@"; echo $?; ls $0', `${dir}/run`, ...command])
      expect(stderr).to.contain(`Failed to write to pid file '${dir}/run/pid': No space left on device`)
      expect(stdout).to.equal('1\nfull\n')
      expect(status).to.equal(0)
    })
  })

  describe('that are relative', () => {
    for (const background of [true, false]) {
      it(`are those of the directory it is started in${background ? ', with -d' : ''}`, async () => {
        const dir = await tempDir(cleanup)
        await writeFile(join(dir, 'relative.conf'), confText({
          unix_sock_dir: 'sockets', auth_unix_rw: 'none', auth_unix_ro: 'none', driver_socket_dir: 'sockets',
          embedded_test_driver: 1, log_outputs: '2:file:relative.log', log_level: 2
        }))
        const command = brokerCommand(...(background ? ['-d'] : []), '-f', 'relative.conf', '-p', 'relative.pid')
        const program = new Program(command, { cwd: dir })
        const pidOf = (): number => Number(readFileSync(join(dir, 'relative.pid'), 'latin1'))
        cleanup.defer(() => Promise.resolve(existsSync(join(dir, 'relative.pid')) && process.kill(pidOf())))
        await waitFor('the sockets', () => canConnect(join(dir, 'sockets/libvirt-sock-ro')))
        if (background) expect((await program.exited).status).to.equal(0)
        await waitFor('the log', () => readFileSync(join(dir, 'relative.log'), 'utf8').includes('ready'))
        process.kill(pidOf())
        await waitFor('its end', () => !existsSync(join(dir, 'relative.pid')))
        expect(readdirSync(dir).sort()).to.deep.equal(['relative.conf', 'relative.log', 'sockets'])
        expect(readdirSync(join(dir, 'sockets'))).to.deep.equal([])
      })
    }

    it('are not held by a broker in the background', async () => {
      const dir = await tempDir(cleanup)
      await writeFile(join(dir, 'c'), confText({ unix_sock_dir: dir, auth_unix_rw: 'none', auth_unix_ro: 'none' }))
      expect((await run(brokerCommand('-d', '-f', 'c', '-p', 'pid'), { cwd: dir })).status).to.equal(0)
      const pid = readFileSync(join(dir, 'pid'), 'latin1')
      expect((await mustRun(['readlink', `/proc/${pid}/cwd`])).stdout).to.equal('/\n')
      process.kill(Number(pid))
      await waitFor('its end', () => !existsSync(join(dir, 'pid')))
    })

    it('may be those of a link', async () => {
      const files = await brokerFiles(cleanup, {})
      const elsewhere = await tempDir(cleanup)
      symlinkSync(files.dir, join(elsewhere, 'link'))
      const program = new Program(brokerCommand('-f', `link/${basename(files.file)}`, '-p', 'link/pid'), { cwd: elsewhere })
      cleanup.defer(() => program.stop())
      await waitFor('the pid file', () => existsSync(join(files.dir, 'pid')))
    })
  })

  it('are not waited for: a log that is a FIFO without reader ends the start', async () => {
    const dir = await tempDir(cleanup)
    await mustRun(['mkfifo', join(dir, 'log')])
    const files = await brokerFiles(cleanup, { log_outputs: `1:file:${dir}/log` })
    await bothFail(files, 1, `failed to open ${dir}/log: No such device or address`)
  })
})
