import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'

/** A new empty directory, removed by the cleanup. Its name is short: socket paths end at 107 bytes. */
export async function tempDir(cleanup: Cleanup): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'vb-'))
  cleanup.defer(() => rm(dir, { recursive: true, force: true }))
  return dir
}
