import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, chown, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { metricsToken } from '#main/config/metrics-token.js'
import { StartupError } from '#main/config/startup-error.js'
import { Cleanup } from '../../support/cleanup.js'
import { tempDir } from '../../support/temp-dir.js'

const TOKEN = 'wPaJ9yT0L8mO5cQ2xR7sV1bN4kE6hU3z'

describe('the file of metrics_token', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())
  let path: string
  beforeEach(async () => void (path = join(await tempDir(cleanup), 'token')))

  const read = (): Uint8Array | undefined => metricsToken(path, 'x.conf')
  const refuses = (what: RegExp): void => {
    expect(read).to.throw(StartupError, what).with.property('message').that.satisfies((text: string) =>
      text.startsWith(`unsupported configuration: x.conf: metrics_token: '${path}' `) && !text.includes(TOKEN.slice(0, 8)))
  }
  const write = (text: string): Promise<void> => writeFile(path, text, { mode: 0o600 })

  it('has the token, of which a digest is kept', async () => {
    const digest = createHash('sha256').update(TOKEN).digest()
    for (const text of [TOKEN, `${TOKEN}\n`]) {
      await write(text)
      expect(Buffer.compare(read()!, digest)).to.equal(0)
    }
    expect(metricsToken(undefined, '')).to.equal(undefined)
    expect(metricsToken('', '')).to.equal(undefined)
  })

  it('is nobody else\'s, to read neither', async () => {
    await write(TOKEN)
    for (const mode of [0o640, 0o604, 0o660, 0o610]) {
      await chmod(path, mode)
      refuses(/can be read by others: chmod 600/)
    }
    await chmod(path, 0o400)
    expect(read()).not.to.equal(undefined)
    if (process.geteuid!() !== 0) return
    await chown(path, 65534, 65534)
    refuses(/is somebody else's/)
  })

  it('has a token that nobody guesses, and nothing else', async () => {
    const few = ['', 'short', TOKEN.slice(1)]
    const odd = [`${TOKEN} x`, `${TOKEN}\n${TOKEN}\n`, `${TOKEN}\r\n`, `${TOKEN}\u00e9`]
    for (const text of [...few, ...odd, 'x'.repeat(257), 'x'.repeat(1e5)]) {
      await write(text)
      refuses(/has no line of 32 to 256 printable characters/)
    }
  })

  it('is a file that is there', async () => {
    refuses(/cannot be read: No such file or directory/)
    execFileSync('mkfifo', [path])
    refuses(/is no file/)
    path = join(path, '..')
    refuses(/is no file/)
    expect(() => metricsToken('token', 'x.conf')).to.throw(StartupError, /'token' is no absolute path/)
    const link = join(path, 'link')
    await symlink('/proc/self/environ', link)
    path = link
    refuses(/metrics_token/)
  })
})
