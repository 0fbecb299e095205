import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { atExit } from './system/at-exit.js'

/** Another revision of the project, built in a directory of its own. */
export interface Revision {
  /** Its daemon's executable. */
  executable: string
  remove(): void
}

/**
 * Checks `revision` out beside the project, with the same dependencies where its lock file is the same, and builds it.
 * The load, the peers and the measuring are always this revision's.
 */
export function buildRevision(project: string, revision: string): Revision {
  const directory = mkdtempSync(path.join(tmpdir(), 'vbb-base-'))
  const run = (cwd: string, file: string, ...args: string[]): void =>
    void execFileSync(file, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] })
  const remove = (): void => {
    forget()
    rmSync(directory, { recursive: true, force: true })
    run(project, 'git', 'worktree', 'prune')
  }
  const forget = atExit(remove)
  try {
    run(project, 'git', 'worktree', 'add', '--detach', '--force', directory, revision)
    if (sameText(path.join(project, 'package-lock.json'), path.join(directory, 'package-lock.json'))) {
      symlinkSync(path.join(project, 'node_modules'), path.join(directory, 'node_modules'))
    } else run(directory, 'npm', 'ci', '--silent')
    run(directory, process.execPath, 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.json')
  } catch (error) {
    remove()
    throw new Error(`revision ${revision} could not be built: ${(error as Error).message}`, { cause: error })
  }
  return { executable: path.join(directory, 'dist/main/virtbrokerd.js'), remove }
}

const sameText = (one: string, other: string): boolean =>
  existsSync(other) && readFileSync(one, 'utf8') === readFileSync(other, 'utf8')
