import { execFileSync } from 'node:child_process'
import {
  existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, statSync, symlinkSync,
  truncateSync, unlinkSync, writeFileSync
} from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { FileFailure, PrivateFiles } from '#workers/test-driver/private-files.js'

const { EACCES, EEXIST, EISDIR, ELOOP, ENOENT, ENOSPC, ENOTDIR, ENXIO } = constants.errno
const MAGIC = Buffer.from('image')
const MIB = 1024 * 1024

describe('the files of the embedded test driver', () => {
  let dir = ''
  let files: PrivateFiles
  const inside = (name: string): string => join(dir, 'files', name)
  const outside = (name: string): string => join(dir, name)

  beforeEach(() => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), 'vb-files-')))
    files = new PrivateFiles(join(dir, 'files'))
  })
  afterEach(() => {
    files.close()
    rmSync(dir, { recursive: true })
  })

  /** What reading and writing fail with; 0 for what succeeds. */
  const tried = (act: () => unknown): number => {
    try {
      act()
      return 0
    } catch (error) {
      if (error instanceof FileFailure) return error.errno
      throw error
    }
  }
  const read = (path: string): number => tried(() => files.read(path, 100))
  const write = (path: string): number => tried(() => files.write(path, MAGIC, Buffer.from('more')))

  it('are in a directory that is closed to others', () => {
    expect(statSync(inside('')).mode & 0o7777).to.equal(0o700)
    files.write(inside('a'), MAGIC)
    expect(statSync(inside('a')).mode & 0o7777).to.equal(0o600)
    files.close()
    execFileSync('chmod', ['0777', inside('')])
    files = new PrivateFiles(inside(''))
    expect(statSync(inside('')).mode & 0o7777).to.equal(0o700)
  })

  it('are written and read, by full path or relative to the directory, in folders too', () => {
    mkdirSync(inside('folder'))
    for (const path of [inside('a'), 'b', './c', inside('folder/d'), 'folder/../e', inside('x/../../files/f')]) {
      files.write(path, MAGIC, Buffer.from('1'), Buffer.from('2'))
      expect(files.read(path, 100).toString()).to.equal('image12')
      expect(files.read(path, 6).toString()).to.equal('image1')
    }
    expect(readdirSync(inside('')).sort()).to.deep.equal(['a', 'b', 'c', 'e', 'f', 'folder'])
  })

  it('are overwritten if they are of the same kind, and nothing of the old is left', () => {
    files.write('a', MAGIC, Buffer.alloc(5000))
    files.write('a', MAGIC, Buffer.from('new'))
    expect(readFileSync(inside('a'), 'utf8')).to.equal('imagenew')
    writeFileSync(inside('empty'), '')
    expect(write('empty')).to.equal(0)
    for (const other of ['other things', 'imag']) {
      writeFileSync(inside('other'), other)
      expect(write('other')).to.equal(EEXIST)
      expect(readFileSync(inside('other'), 'utf8')).to.equal(other)
    }
  })

  it('elsewhere are denied alike, whatever is there, and nothing is made', () => {
    writeFileSync(outside('secret'), 'image of a secret')
    writeFileSync(outside('closed'), 'image', { mode: 0 })
    mkdirSync(outside('folder'))
    mkdirSync(outside('files2'))
    symlinkSync(inside('a'), outside('link-in'))
    files.write('a', MAGIC)
    const paths = [
      'secret', 'closed', 'folder', 'link-in', 'absent', 'absent/deeper', 'secret/deeper', 'files2/x', 'files/../secret'
    ].map(outside)
    const far = ['/', '/etc/shadow', '/proc/nothing', '/proc/self/mem', '/dev/null', '/proc/self/root/etc/passwd']
    const relative = ['..', '../secret', '../absent', 'x/../../secret', '../files2/x', '../../../../../../etc/passwd']
    for (const path of [...paths, ...far, ...relative, `${outside('files')}/../../x`, inside('a\0b')]) {
      expect([read(path), write(path)], path).to.deep.equal([EACCES, EACCES])
    }
    expect(readdirSync(dir).sort()).to.deep.equal(['closed', 'files', 'files2', 'folder', 'link-in', 'secret'])
    expect(readFileSync(outside('secret'), 'utf8')).to.equal('image of a secret')
    expect(readdirSync(outside('files2'))).to.deep.equal([])
  })

  it('are not reached by links, neither at the end of a path nor within it', () => {
    mkdirSync(outside('folder'))
    writeFileSync(outside('folder/secret'), 'image of a secret')
    symlinkSync(outside('folder/secret'), inside('to-file'))
    symlinkSync(outside('folder/new'), inside('to-nothing'))
    symlinkSync(outside('folder'), inside('to-folder'))
    symlinkSync('/proc/self/root', inside('to-root'))
    symlinkSync('..', inside('up'))
    symlinkSync('to-inside', inside('to-inside'))
    for (const name of ['to-file', 'to-nothing', 'to-folder', 'up', 'to-inside', 'to-root'])
      expect([read(name), write(name)], name).to.deep.equal([ELOOP, ELOOP])
    for (const name of ['to-folder/secret', 'to-folder/new', 'up/folder/secret', 'to-root/etc/passwd', 'to-file/x'])
      expect([read(name), write(name)], name).to.deep.equal([ENOTDIR, ENOTDIR])
    expect(readFileSync(outside('folder/secret'), 'utf8')).to.equal('image of a secret')
    expect(readdirSync(outside('folder'))).to.deep.equal(['secret'])
  })

  it('have one name: a hard link could be to a file that means something elsewhere', () => {
    writeFileSync(outside('secret'), 'image of a secret')
    linkSync(outside('secret'), inside('a'))
    expect([read('a'), write('a')]).to.deep.equal([EACCES, EACCES])
    expect(readFileSync(outside('secret'), 'utf8')).to.equal('image of a secret')
    unlinkSync(outside('secret'))
    expect([read('a'), write('a')]).to.deep.equal([0, 0])
  })

  it('are regular: sockets and folders are none', async () => {
    const server = createServer().listen(inside('socket'))
    await once(server, 'listening')
    mkdirSync(inside('folder'))
    expect([read('socket'), write('socket')]).to.deep.equal([ENXIO, ENXIO])
    expect([read('folder'), write('folder')]).to.deep.equal([EISDIR, EISDIR])
    expect([read(inside('')), write('.')]).to.deep.equal([EISDIR, EISDIR])
    server.close()
  })

  it('that are not there, or in a folder that is not there, are said to be so', () => {
    expect([read('a'), read('folder/a'), write('folder/a')]).to.deep.equal([ENOENT, ENOENT, ENOENT])
    expect(existsSync(inside('folder'))).to.equal(false)
    const long = 'x'.repeat(5000)
    expect([read(long), write(long)]).to.deep.equal([constants.errno.ENAMETOOLONG, constants.errno.ENAMETOOLONG])
  })

  it('are found by the descriptor of their directory, wherever that is meanwhile', () => {
    files.write('a', MAGIC)
    execFileSync('mv', [inside(''), outside('moved')])
    mkdirSync(inside(''))
    writeFileSync(inside('a'), 'not this one')
    expect(files.read('a', 100).toString()).to.equal('image')
  })

  it('leave no descriptor open', () => {
    mkdirSync(inside('folder'))
    symlinkSync('/', inside('link'))
    const paths = ['a', 'folder/a', 'folder', 'link', 'link/etc', 'none/a', '/etc/passwd']
    const open = (): number => readdirSync('/proc/self/fd').length
    const before = open()
    for (const path of paths) for (let i = 0; i < 10; i++) [read(path), write(path)]
    expect(open()).to.equal(before)
  })

  describe('are bounded', () => {
    const full = (): void => {
      for (let i = 0; i < 64; i++) files.write(`big${i}`, MAGIC, Buffer.alloc(MIB - MAGIC.length))
    }

    it('in size', () => {
      full()
      expect(write('one-more')).to.equal(ENOSPC)
      expect(existsSync(inside('one-more'))).to.equal(false)
      expect(tried(() => files.write('big3', MAGIC, Buffer.alloc(MIB)))).to.equal(ENOSPC)
      expect(statSync(inside('big3')).size).to.equal(MIB)
      expect(write('big3')).to.equal(0)
      expect(write('one-more')).to.equal(0)
    })

    it('in number', () => {
      let made = 0
      while (made < 5000 && write(`small${made}`) === 0) made++
      expect(made).to.equal(1024)
    })

    it('and there is room again when some are removed', () => {
      full()
      unlinkSync(inside('big7'))
      expect(write('one-more')).to.equal(0)
    })

    it('together with those that were there', () => {
      mkdirSync(inside('folder'))
      writeFileSync(inside('folder/old'), '')
      truncateSync(inside('folder/old'), 64 * MIB)
      files.close()
      files = new PrivateFiles(inside(''))
      expect(write('one-more')).to.equal(ENOSPC)
    })
  })

  it('have a directory that is no link', () => {
    symlinkSync(inside(''), outside('link'))
    expect(() => new PrivateFiles(outside('link'))).to.throw(/ELOOP|ENOTDIR/)
  })
})
