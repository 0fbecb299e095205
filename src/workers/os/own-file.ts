import { fstatSync, linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs'

/** Says whether two paths are one file, as long as the file exists: afterwards another may get its number. */
export interface FileId {
  dev: bigint
  ino: bigint
}

/** Of a path, links not followed, or of a descriptor. Undefined if there is nothing. */
export function fileId(of: string | number): FileId | undefined {
  const options = { bigint: true, throwIfNoEntry: false } as const
  const stats = typeof of === 'number' ? fstatSync(of, options) : lstatSync(of, options)
  return stats === undefined ? undefined : { dev: stats.dev, ino: stats.ino }
}

export const sameFile = (one: FileId | undefined, other: FileId): boolean =>
  one !== undefined && one.dev === other.dev && one.ino === other.ino

/**
 * Removes the file at a path if it is this one, and says whether it was. Between looking and removing another process
 * may put a file of its own there. So the file is first given another name, by which nobody else looks for it: if it
 * turns out to be another's, it gets its name back.
 */
export function removeIf(path: string, id: FileId): boolean {
  if (!sameFile(fileId(path), id)) return false
  const aside = `${path}.${process.pid}`
  renameSync(path, aside)
  if (sameFile(fileId(aside), id)) {
    unlinkSync(aside)
    return true
  }
  try {
    // Fails if by now yet another is there, which then counts.
    linkSync(aside, path)
  } finally {
    unlinkSync(aside)
  }
  return false
}
