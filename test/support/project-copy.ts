import { execFileSync } from 'node:child_process'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.js'
import { tempDir } from './temp-dir.js'

const repository = new URL('../../../', import.meta.url).pathname

/** What packages are built from. */
export const parts = [
  'src', 'packaging', 'docs', 'package.json', 'package-lock.json', 'tsconfig.json', 'README.md', 'CHANGELOG.md', 'LICENSE'
]

/** What builds packages works in a directory of its own: the tests run from what is built in the first. */
export async function projectCopy(cleanup: Cleanup): Promise<string> {
  const dir = await tempDir(cleanup)
  execFileSync('cp', ['-a', ...parts.map(part => join(repository, part)), dir])
  await symlink(join(repository, 'node_modules'), join(dir, 'node_modules'))
  return dir
}
