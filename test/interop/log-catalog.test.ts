import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'
import { MESSAGE_KINDS } from '#workers/base/log-kinds.js'
import { Cleanup } from '../support/cleanup.js'
import { mustRun } from '../support/processes.js'
import { tempDir } from '../support/temp-dir.js'

const CATALOG = fileURLToPath(new URL('../../../packaging/systemd/virtbroker.catalog', import.meta.url))

describe("systemd's catalog of messages", () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('takes ours, and explains each kind', async () => {
    const root = await tempDir(cleanup)
    await mkdir(join(root, 'usr/lib/systemd/catalog'), { recursive: true })
    await cp(CATALOG, join(root, 'usr/lib/systemd/catalog/virtbroker.catalog'))
    await mkdir(join(root, 'var/lib/systemd/catalog'), { recursive: true })
    const { stderr } = await mustRun(['journalctl', `--root=${root}`, '--update-catalog'])
    expect(stderr).to.equal('')
    const { stdout } = await mustRun(['journalctl', `--root=${root}`, '--dump-catalog'])
    for (const { id, subject, advice } of Object.values(MESSAGE_KINDS)) {
      const [, entry = ''] = stdout.split(`-- ${id}\n`)
      const text = entry.split(/^-- /m)[0]!
      expect(text, id).to.include(`Subject: ${subject}\nDefined-By: virtbroker\n`)
      expect(text.replaceAll('\n', ' ')).to.include(`What to do: ${advice}`)
    }
  })
})
