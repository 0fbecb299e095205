import { lstat, mkdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import type { StartupError } from '#main/config/startup-error.js'
import { loadTls } from '#main/tls/load.js'
import { tlsPriority } from '#main/config/tls-priority/tls-priority.js'
import { Cleanup } from '../support/cleanup.js'
import type { Conf } from '../support/conf-file.js'
import { Pki, type Authority, type Credentials } from '../support/pki.js'
import { PrivateHost } from '../support/private-host.js'
import { mustRun } from '../support/processes.js'
import { attempts, Trial, type Daemon } from '../support/trial.js'

/** The same configurations, certificates and obstacles for libvirt's daemon and for ours. */
describe('a start beside that of libvirtd', function () {
  this.timeout(60_000)
  const cleanup = new Cleanup()
  let host: PrivateHost
  let pki: Pki
  let server: Credentials

  before(async () => {
    host = await PrivateHost.start(cleanup, { ownPids: false })
    pki = await Pki.make(cleanup)
    server = await pki.server()
  })

  after(() => cleanup.run())

  /** What `see` sees of both. */
  async function both<T>(conf: Conf, see: (trial: Trial) => Promise<T> | T): Promise<[T, T]> {
    const seen: T[] = []
    for (const daemon of ['libvirtd', 'virtbrokerd'] satisfies Daemon[]) {
      const trial = await Trial.start(host, daemon, conf)
      try {
        seen.push(await see(trial))
      } finally {
        await trial.stop()
      }
    }
    return seen as [T, T]
  }

  /** What became of a start: the exit code with the daemon's last words, if it has ended. */
  const fate = async (trial: Trial): Promise<unknown> => {
    const outcome = await trial.outcome()
    return outcome === 'serves' ? outcome : [outcome, lastError(trial.log)]
  }
  const lastError = (log: string): string | undefined => /(?: error : (?:\w+:\d+|daemon\.\w+) |^virtbrokerd): (.*)\n$/m.exec(log)?.[1]

  describe('listen_addr', () => {
    const tls = (more: Conf): Conf => ({
      listen_tls: 1, ca_file: pki.ca.certificate, cert_file: server.certificate, key_file: server.key, ...more
    })

    for (const address of ['*', '127.0.0.1', '127.1', '::1', '::', 'localhost']) {
      it(`"${address}" opens the same sockets`, async () => {
        const [theirs, ours] = await both(tls({ listen_addr: address }), trial => trial.listening)
        expect(theirs).not.to.equal(undefined)
        expect(ours).to.deep.equal(theirs)
      })
    }

    for (const address of ['', ' ', '**', '[::1]', '127.0.0.1 ']) {
      it(`"${address}" ends both with 6`, async () => {
        const [theirs, ours] = await both(tls({ listen_addr: address }), fate)
        expect(theirs).to.match(/^6,Unable to resolve address /)
        expect(ours).to.deep.equal(theirs)
      })
    }

    it('"" is of no interest where nothing listens on TCP', async () =>
      expect(await both({ listen_addr: '' }, trial => trial.outcome())).to.deep.equal(['serves', 'serves']))
  })

  describe('unix_sock_group', () => {
    const group = async (trial: Trial): Promise<unknown> =>
      (await trial.outcome()) === 'serves' ? (await stat(host.runPath('libvirt-sock'))).gid : fate(trial)

    const names = ['1000', '54321', '+1000', ' 1000', '010', '-1', '0', '4294967294', 'adm', 'daemon']
    for (const name of [...names, '', '0x10', '1000 ', '+', '+adm', 'no-such-group', '4294967296', '99999999999999999999']) {
      it(`"${name}" means the same`, async () => {
        const [theirs, ours] = await both({ unix_sock_group: name }, group)
        expect(Array.isArray(theirs)).to.equal(!names.includes(name))
        expect(ours).to.deep.equal(theirs)
      })
    }
  })

  describe('with something in the way', () => {
    const obstacles: [string, (path: string) => Promise<unknown>, RegExp][] = [
      ['a directory', path => mkdir(path), /a directory is in its place/],
      ['a directory that is not empty', path => mkdir(join(path, 'x'), { recursive: true }), /a directory is in its place/],
      ['a file', path => writeFile(path, 'text'), /a file is in its place/],
      ['a link to nowhere', path => symlink('/nonexistent', path), /a symbolic link is in its place/]
    ]
    for (const [what, put, why] of obstacles) {
      for (const name of ['libvirt-sock', 'libvirt-sock-ro']) {
        it(`${what} in the place of ${name}, which libvirtd removes if it can, and the broker never`, async () => {
          const place = host.runPath(name)
          const found: unknown[][] = []
          for (const daemon of ['libvirtd', 'virtbrokerd'] satisfies Daemon[]) {
            await put(place)
            const trial = await Trial.start(host, daemon, {})
            found.push([await trial.outcome(), lastError(trial.log)])
            await trial.stop()
            if (daemon === 'virtbrokerd') expect((await lstat(place)).isSocket()).to.equal(false)
            // A libvirtd that fails leaves the socket that it has made before.
            for (const one of ['libvirt-sock', 'libvirt-sock-ro']) await rm(host.runPath(one), { recursive: true, force: true })
          }
          const [[theirs], ours] = found as [unknown[], unknown[]]
          expect(theirs).to.equal(what.includes('directory') ? 6 : 'serves')
          expect(ours[0]).to.equal(6)
          expect(ours[1]).to.match(why).and.contain(`Failed to bind socket to '/run/libvirt/${name}': `)
        })
      }
    }

    /** Sets the stage for one start: in the private host's own /run, which is a file system in memory. */
    async function onStage(script: string, conf: Conf): Promise<unknown[]> {
      await host.exec(['sh', '-c', `mkdir -p /run/stage; ${script}`])
      try {
        return await both(conf, fate)
      } finally {
        await host.exec(['sh', '-c', 'mount -o remount,rw /run; rm -rf /run/stage'])
      }
    }

    it('a read-only directory for the sockets', async () => {
      const [theirs, ours] = await onStage('mount -o remount,ro /run', { unix_sock_dir: '/run/stage' })
      expect(theirs).to.deep.equal([6, "Failed to bind socket to '/run/stage/libvirt-sock': Read-only file system"])
      expect(ours).to.deep.equal(theirs)
    })
  })

  describe('in a run directory that cannot be made', () => {
    /** An ordinary start, with the default places, of a host whose /run is as `script` leaves it. */
    async function outcome(daemon: Daemon, script: string): Promise<unknown> {
      const own = await PrivateHost.start(cleanup, { ownPids: false })
      await own.exec(['sh', '-c', `umount /run/libvirt; rmdir /run/libvirt; ${script}`])
      const trial = await Trial.start(own, daemon, { unix_sock_dir: '/run/libvirt' })
      const found = await fate(trial)
      await trial.stop()
      return found
    }

    for (const script of ['mount -o remount,ro /run', 'touch /run/libvirt']) {
      it(`after ${script}`, async () => {
        const theirs = await outcome('libvirtd', script)
        expect(theirs).to.match(/^2,unable to create rundir \/run\/libvirt: (Read-only file system|Not a directory)$/)
        expect(await outcome('virtbrokerd', script)).to.deep.equal(theirs)
      })
    }
  })

  describe('with PEM files', () => {
    const lines = (text: string): string[] => text.trimEnd().split('\n')
    const isBody = (line: string): boolean => !line.startsWith('-----')
    const joined = (list: readonly string[], end = '\n'): string => list.map(line => line + end).join('')

    /** One block of PEM, written in another way. */
    const shapes: [string, (block: string) => string][] = [
      ['indented with spaces', block => joined(lines(block).map(line => `    ${line}`))],
      ['indented with tabs', block => joined(lines(block).map(line => `\t${line}`))],
      ['with an indented body', block => joined(lines(block).map(line => (isBody(line) ? `  ${line}` : line)))],
      ['with blank lines between', block => joined(lines(block), '\n\n')],
      ['with blanks at the ends', block => joined(lines(block), '  \n')],
      ['with ends of lines of DOS', block => joined(lines(block), '\r\n')],
      ['in one line', block => `${lines(block)[0]}${lines(block).filter(isBody).join('')}${lines(block).at(-1)}`],
      ['with text around it', block => `# a comment, - and a dash\n${block}and more\n`],
      ['with a comment in it', block => block.replace('-----\n', '-----\n# a comment\n')],
      ['with a header in it', block => block.replace('-----\n', '-----\nX-Note: a header\n\n')],
      ['without its end', block => block.replace(/-----END.*\n/, '')],
      ['cut off', block => joined(lines(block).filter((_, index, all) => index < 5 || index === all.length - 1))],
      ['with four dashes', block => block.replaceAll('-----', '----')]
    ]
    const kinds = ['ca_file', 'cert_file', 'key_file', 'crl_file'] as const
    let files: Record<(typeof kinds)[number], string>

    before(async () => {
      const crl = await pki.revoke([(await pki.client({ cn: 'revoked' })).certificate])
      files = { ca_file: pki.ca.certificate, cert_file: server.certificate, key_file: server.key, crl_file: crl }
    })

    const load = ({ ca_file, cert_file, key_file, crl_file }: typeof files): Promise<'serves' | number> => {
      const named = { ca: ca_file, crl: crl_file, identities: [{ certificate: cert_file, key: key_file }], indexed: [] }
      const options = { files: named, priority: tlsPriority(), sanity: true, verify: true, allowedNames: undefined }
      return loadTls(options).then(() => 'serves', (error: StartupError) => error.exitCode)
    }

    for (const [shape, write] of shapes) {
      it(`${shape}, they are taken by both or refused by both`, async () => {
        const seen: Record<string, unknown[]> = { theirs: [], ours: [] }
        for (const kind of kinds) {
          const { stdout } = await mustRun(['sed', '-n', '/-----BEGIN/,/-----END/p', files[kind]])
          const file = join(pki.dir, 'shape')
          await writeFile(file, write(stdout))
          const trial = await Trial.start(host, 'libvirtd', { listen_tls: 1, ...files, [kind]: file })
          seen.theirs!.push(await trial.outcome())
          await trial.stop()
          seen.ours!.push(await load({ ...files, [kind]: file }))
        }
        expect(seen.theirs).to.satisfy((outcomes: unknown[]) => outcomes.every(outcome => outcome === 'serves' || outcome === 6))
        expect(seen.ours).to.deep.equal(seen.theirs)
      })
    }
  })

  it('after the authority was renewed, with the revocation list of its former key', async () => {
    const renewed = await pki.authority('Test CA', { serial: 4711 }, 'ecdsa-384')
    const own = await pki.server({}, { by: renewed })
    const client = async (by: Authority, cn: string): Promise<Credentials> => pki.client({ cn }, { by, kind: 'rsa' })
    const [former, revoked, current] = [await client(pki.ca, 'former'), await client(pki.ca, 'revoked'), await client(renewed, 'current')]
    const bothFile = join(pki.dir, 'both')
    await writeFile(bothFile, (await mustRun(['cat', renewed.certificate, pki.ca.certificate])).stdout)
    const wanted = [former, revoked, current].map(credentials => ({ ...credentials, version: 'TLSv1.3' as const }))
    for (const [ca_file, alive] of [[renewed.certificate, [false, false, true]], [bothFile, [true, false, true]]] as const) {
      const conf = {
        listen_tls: 1, ca_file, cert_file: own.certificate, key_file: own.key, crl_file: await pki.revoke([revoked.certificate])
      }
      const outcomes = await both(conf, async () => (await attempts(host, 16514, wanted)).map(outcome => outcome !== 'refused'))
      expect(outcomes).to.deep.equal([alive, alive])
    }
  })
})
