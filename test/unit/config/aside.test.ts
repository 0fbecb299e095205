import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { aside, worksAside } from '#main/config/aside.js'
import { Cleanup } from '../../support/cleanup.js'
import { tempDir } from '../../support/temp-dir.js'
import { waitFor } from '../../support/waiting.js'

const work = new URL('../../support/hanging-work.js', import.meta.url).href

/** Who waits for a writer waits no more. Nobody may wait yet, or any more, for whom this would wait. */
function letGo(pipe: string): void {
  try {
    closeSync(openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error
  }
}

describe('work in a thread of its own', () => {
  const cleanup = new Cleanup()
  after(() => cleanup.run())

  it('gives what came of it, and its thread ends', async () => {
    const path = join(await tempDir(cleanup), 'file')
    writeFileSync(path, 'text')
    expect(await aside(work, path)).to.equal('text')
    await waitFor('the thread to end', () => !worksAside())
  })

  it('is given up when it takes too long', async () => {
    const path = join(await tempDir(cleanup), 'pipe')
    execFileSync('mkfifo', [path])
    const failure = await aside(work, path, 200).catch((error: unknown) => error)
    expect((failure as Error).message).to.equal('files could not be read within 0.2 s')
    expect(worksAside(), 'its thread hangs').to.equal(true)
    await waitFor('the thread to end', () => {
      letGo(path)
      return !worksAside()
    })
  })
})
